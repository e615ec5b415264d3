/* Cutting titles into words (core/title_words.h), and what is valid UTF-8. */
#include "base/plain_text.h"
#include "core/title_words.h"

#include "unit.h"

static void words_are(const char *title, const char *const *expected)
{
    struct span rest = span_text(title), word;
    for (; *expected; expected++) {
        assert_true(title_word_next(&rest, &word));
        assert_true(span_is(word, *expected));
    }
    assert_false(title_word_next(&rest, &word));
}

static void cuts_at_what_is_no_letter_or_digit(void **state)
{
    (void)state;
    words_are("", (const char *[]){NULL});
    words_are(" -_., ", (const char *[]){NULL});
    words_are("Batch jobs", (const char *[]){"Batch", "jobs", NULL});
    words_are("a_b-c.d/9", (const char *[]){"a", "b", "c", "d", "9", NULL});
    words_are("Größe „neu“…alt", (const char *[]){"Größe", "neu", "alt", NULL});
    words_are("日本、東京 ключ🔑x", (const char *[]){"日本", "東京", "ключ🔑x", NULL});
    words_are("\xC2\xA0z\xC2\xA0", (const char *[]){"z", NULL});
}

static void a_long_word_is_known_by_its_first_characters(void **state)
{
    (void)state;
    char title[200];
    memset(title, 'x', 100);
    strcpy(title + 100, " end");
    struct span rest = span_text(title), word;
    assert_true(title_word_next(&rest, &word));
    assert_int_equal(word.length, TITLE_WORD_CHARACTERS);
    assert_true(title_word_next(&rest, &word));
    assert_true(span_is(word, "end"));
}

static void gives_every_beginning(void **state)
{
    (void)state;
    struct span found[TITLE_BEGINNINGS_MAX];
    static const char *const expected[] = {"Ö", "Öl", "a", "ab", "abc"};
    assert_int_equal(title_beginnings(SPAN("Öl abc"), found), COUNT_OF(expected));
    for (size_t i = 0; i < COUNT_OF(expected); i++)
        assert_true(span_is(found[i], expected[i]));
    char letters[401];
    for (unsigned i = 0; i < 400; i++)
        letters[i] = i % 2 ? ' ' : 'w';
    letters[400] = '\0';
    assert_int_equal(title_beginnings(span_text(letters), found), 200);
}

static void tells_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "é", "日", "🔑", "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x80",
                                      "\xC3",
                                      "\xC0\xAF",
                                      "\xE0\x80\xAF",
                                      "\xED\xA0\x80",
                                      "\xF0\x80\x80\xAF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xC3(",
                                      "\xE6\x97"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_true(text_is_utf8(span_text(good[i])));
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(text_is_utf8(span_text(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_at_what_is_no_letter_or_digit),
        cmocka_unit_test(a_long_word_is_known_by_its_first_characters),
        cmocka_unit_test(gives_every_beginning),
        cmocka_unit_test(tells_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
