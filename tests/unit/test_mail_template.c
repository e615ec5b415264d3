/* service/mail_template and mail_context: the built-in mails, an operator's own, and what happens
 * when those are wrong. */
#include "base/plain_text.h"
#include "service/mail_context.h"
#include "service/mail_template.h"

#include "unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "km_live_an-example-that-opens-nothing"

static struct mail_templates *built_in;
static char folder[64];

static int set_up(void **state)
{
    (void)state;
    return mail_templates_new(&built_in, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    mail_templates_free(&built_in);
    return 0;
}

/* Each test of an operator's folder has one of its own. */
static int folder_make(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/keymeter-mails-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void put(const char *language, const char *file, const char *text)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, language);
    (void)!mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/%s", folder, language, file);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static struct mail_templates *load(void)
{
    struct mail_templates *templates;
    assert_int_equal(mail_templates_new(&templates, folder), ERR_OK);
    return templates;
}

/* The folder has just one fault, which tells `part`; NULL: none. */
static void has_fault(const struct mail_templates *templates, const char *part)
{
    const char *const *faults;
    size_t count = mail_templates_faults(templates, &faults);
    for (size_t i = 0; i < count && (!part || count > 1); i++)
        print_error("fault: %s\n", faults[i]);
    assert_int_equal(count, part ? 1 : 0);
    if (part && !strstr(faults[0], part)) fail_msg("\"%s\" does not tell \"%s\"", faults[0], part);
}

static struct mail_text render(const struct mail_templates *templates, enum mail_kind kind,
                               const char *language, json_t *context)
{
    struct mail_text out;
    assert_non_null(context);
    enum err result = mail_render(templates, kind, language, context, &out);
    if (result) fail_msg("%s: %s", mail_kind_name(kind), out.fault);
    mail_context_free(&context);
    buf_add_char(&out.text, '\0');
    if (out.html.length) buf_add_char(&out.html, '\0');
    return out;
}

static void holds(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("\"%s\" does not hold \"%s\"", text, part);
}

static void holds_not(const char *text, const char *part)
{
    if (strstr(text, part)) fail_msg("\"%s\" holds \"%s\"", text, part);
}

/* ---- the built-in mails ---- */

static void each_built_in_mail_is_whole(void **state)
{
    (void)state;
    has_fault(built_in, NULL);
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++)
        for (int shape = MAIL_WITH_SECRET; shape <= MAIL_SHORTEST; shape++) {
            struct mail_text out =
                render(built_in, (enum mail_kind)kind, "en",
                       mail_example((enum mail_kind)kind, (enum mail_shape)shape));
            assert_string_equal(out.fault, "");
            assert_true(strlen(out.subject) > 10 && out.html.length > 1000);
            assert_true(text_is_utf8(buf_span(&out.text)));
            holds(out.text.data, "Example");
            holds(out.html.data, "Example");
            holds_not(out.text.data, "{{");
            holds_not(out.html.data, "{{");
            holds_not(out.text.data, "\n\n\n");
            holds_not(out.text.data, " \n");
            for (const char *line = out.text.data, *end; (end = strchr(line, '\n')); line = end + 1)
                assert_true(end - line <= 80);
            mail_text_done(&out);
        }
}

static void secrets_and_titles_stay_out_of_subjects(void **state)
{
    (void)state;
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++) {
        struct mail_text out = render(built_in, (enum mail_kind)kind, "en",
                                      mail_example((enum mail_kind)kind, MAIL_WITH_SECRET));
        holds_not(out.subject, SECRET);
        holds_not(out.subject, "Billing export");
        holds_not(out.subject, "km_live");
        mail_text_done(&out);
    }
}

static void a_secret_goes_along_in_two_shapes(void **state)
{
    (void)state;
    const enum mail_kind kinds[] = {MAIL_KEY_ISSUED, MAIL_ROTATED, MAIL_REGENERATED};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        struct mail_text out =
            render(built_in, kinds[i], "en", mail_example(kinds[i], MAIL_WITH_SECRET));
        holds(out.text.data, "\n    " SECRET "\n");
        holds(out.html.data, SECRET);
        holds_not(out.text.data, "/claim#");
        holds_not(out.html.data, "/claim#");
        mail_text_done(&out);
        out = render(built_in, kinds[i], "en", mail_example(kinds[i], MAIL_WITH_CLAIM));
        holds(out.text.data, "\n    https://keys.api.example/claim#an-example\n");
        holds(out.html.data, "href=\"https://keys.api.example/claim#an-example\"");
        holds_not(out.text.data, SECRET);
        mail_text_done(&out);
        out = render(built_in, kinds[i], "en", mail_example(kinds[i], MAIL_WITH_NEITHER));
        holds_not(out.text.data, SECRET);
        holds_not(out.text.data, "/claim#");
        mail_text_done(&out);
    }
}

static void notices_say_what_they_must(void **state)
{
    (void)state;
    static const struct {
        enum mail_kind kind;
        const char *parts[8];
    } notices[] = {
        {MAIL_KEY_ISSUED,
         {"Acme Ltd", "acme-42", "pro", "100,000 calls", "https://api.example/v1", "X-API-Key",
          "https://api.example/docs", "support@api.example"}},
        {MAIL_ROTATION_UPCOMING,
         {"10 March 2026 at 14:05 UTC", "Billing export", "km_live_ab...",
          "2 March 2026 at 09:30 UTC", "24 hours", "7 days"}},
        {MAIL_OLD_SECRET_IN_USE,
         {"198.51.100.0/24", "12 March 2026 at 08:15 UTC", "17 March 2026 at 14:05 UTC"}},
        {MAIL_RETIRED, {"17 March 2026 at 14:05 UTC", "km_live_xy...", "nothing to do"}},
        {MAIL_QUOTA_80, {"80,000 of 100,000", "1 April 2026 at 00:00 UTC"}},
        {MAIL_CONTACT_CHANGED, {"e-mail address", "OpenPGP"}},
    };
    for (size_t i = 0; i < COUNT_OF(notices); i++) {
        struct mail_text out =
            render(built_in, notices[i].kind, "en", mail_example(notices[i].kind, MAIL_WITH_CLAIM));
        for (size_t part = 0; part < COUNT_OF(notices[i].parts); part++) {
            if (!notices[i].parts[part]) continue;
            holds(out.text.data, notices[i].parts[part]);
            holds(out.html.data, notices[i].parts[part]);
        }
        mail_text_done(&out);
    }
}

/* Nothing in the HTML makes a mail program ask anybody. */
static void the_html_fetches_nothing(void **state)
{
    (void)state;
    static const char *const fetching[] = {"src=",    "url(",    "<img",         "<link",
                                           "<script", "@import", "<iframe",      "<object",
                                           "<form",   "<video",  "background=\""};
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++) {
        struct mail_text out = render(built_in, (enum mail_kind)kind, "en",
                                      mail_example((enum mail_kind)kind, MAIL_SHORTEST));
        for (size_t i = 0; i < COUNT_OF(fetching); i++)
            holds_not(out.html.data, fetching[i]);
        if (kind != MAIL_CLAIM_REMINDER) holds_not(out.html.data, "http");
        mail_text_done(&out);
    }
}

/* ---- hostile values ---- */

static json_t *example_with(enum mail_kind kind, const char *name, const char *value)
{
    json_t *context = mail_example(kind, MAIL_WITH_SECRET);
    assert_int_equal(json_object_set_new(context, name, json_string(value)), 0);
    return context;
}

static void hostile_names_do_no_harm(void **state)
{
    (void)state;
    struct mail_text out = render(built_in, MAIL_KEY_ISSUED, "en",
                                  example_with(MAIL_KEY_ISSUED, "customer_name",
                                               "<script>alert(\"1\")</script>{{secret}}'&"));
    holds(out.html.data, "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;{{secret}}&#39;&amp;");
    holds_not(out.html.data, "<script");
    mail_text_done(&out);

    out =
        render(built_in, MAIL_KEY_ISSUED, "en",
               example_with(MAIL_KEY_ISSUED, "key_title", "x\r\nSubject: evil\nBcc: a@b\x7F\x01"));
    holds(out.text.data, "x  Subject: evil Bcc: a@b  \n");
    holds_not(out.text.data, "\nSubject");
    holds_not(out.text.data, "\nBcc");
    mail_text_done(&out);

    out = render(built_in, MAIL_REVOKED, "en",
                 example_with(MAIL_REVOKED, "product", "My\r\nBcc: a@b.example\t  API\xC3\xA9 "));
    assert_string_equal(out.subject, "Your My Bcc: a@b.example API\xC3\xA9 API key was revoked");
    mail_text_done(&out);
}

static void a_long_subject_is_cut_between_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        char product[320] = "";
        memset(product, 'x', shift);
        for (size_t at = shift; at < 300; at += 3)
            memcpy(product + at, "\xE2\x82\xAC", 4);
        struct mail_text out =
            render(built_in, MAIL_REVOKED, "en", example_with(MAIL_REVOKED, "product", product));
        assert_in_range(strlen(out.subject), MAIL_SUBJECT_SIZE - 4, MAIL_SUBJECT_SIZE - 1);
        assert_true(text_is_utf8(span_text(out.subject)));
        mail_text_done(&out);
    }
}

/* ---- contexts ---- */

static void refuses_context(enum mail_kind kind, json_t *context, const char *part)
{
    struct mail_text out;
    assert_int_equal(mail_render(built_in, kind, "en", context, &out), ERR_INVALID);
    holds(out.fault, part);
    mail_text_done(&out);
    json_decref(context);
}

static void contexts_hold_what_is_declared(void **state)
{
    (void)state;
    json_t *context = mail_example(MAIL_REVOKED, MAIL_SHORTEST);
    assert_int_equal(json_object_del(context, "revoked_at"), 0);
    refuses_context(MAIL_REVOKED, context, "revoked: \"revoked_at\" is missing");
    refuses_context(MAIL_REVOKED, example_with(MAIL_REVOKED, "revoked_on", "x"),
                    "revoked: a name that is not declared for it");
    context = mail_example(MAIL_REVOKED, MAIL_SHORTEST);
    assert_int_equal(json_object_del(json_object_get(context, "revoked_at"), "text"), 0);
    refuses_context(MAIL_REVOKED, context, "revoked, revoked_at: \"text\" is missing");
    context = mail_example(MAIL_RETIRED, MAIL_SHORTEST);
    assert_int_equal(json_object_set_new(context, "new_in_use", json_integer(1)), 0);
    refuses_context(MAIL_RETIRED, context, "\"new_in_use\" is neither true nor false");
    context = mail_example(MAIL_REVOKED, MAIL_SHORTEST);
    assert_int_equal(json_object_set_new(context, "key_title", json_array()), 0);
    refuses_context(MAIL_REVOKED, context, "\"key_title\" is neither a text nor a number");
    context = mail_example(MAIL_OLD_SECRET_IN_USE, MAIL_SHORTEST);
    assert_int_equal(json_object_set_new(context, "networks", json_object()), 0);
    refuses_context(MAIL_OLD_SECRET_IN_USE, context, "\"networks\" is not a list");
    context = mail_example(MAIL_OLD_SECRET_IN_USE, MAIL_SHORTEST);
    assert_int_equal(json_array_append_new(json_object_get(context, "networks"), json_object()), 0);
    refuses_context(MAIL_OLD_SECRET_IN_USE, context,
                    "old_secret_in_use, networks: \"network\" is missing");
    refuses_context(MAIL_ROTATED, example_with(MAIL_ROTATED, "claim_url", "https://x/"),
                    "\"secret\" and \"claim_url\" exclude each other");
}

static void value_is(json_t *value, const char *member, const char *expected)
{
    assert_string_equal(json_string_value(member ? json_object_get(value, member) : value),
                        expected);
    json_decref(value);
}

static void values_are_written_out(void **state)
{
    (void)state;
    value_is(mail_time(1772546759999), "text", "3 March 2026 at 14:05 UTC");
    value_is(mail_time(1772546759999), "iso", "2026-03-03T14:05:59Z");
    value_is(mail_time(1772546759999), "time", "14:05");
    value_is(mail_time(0), "date", "1 January 1970");
    value_is(mail_time(-1000), "text", "31 December 1969 at 23:59 UTC");
    value_is(mail_time(1709164800000), "date", "29 February 2024");
    value_is(mail_duration(86400), "text", "24 hours");
    value_is(mail_duration(604800), "text", "7 days");
    value_is(mail_duration(3600), "text", "1 hour");
    value_is(mail_duration(5400), "text", "90 minutes");
    value_is(mail_duration(61), "text", "61 seconds");
    value_is(mail_duration(1), "text", "1 second");
    value_is(mail_duration(0), "text", "0 seconds");
    value_is(mail_number(0), NULL, "0");
    value_is(mail_number(999), NULL, "999");
    value_is(mail_number(1000), NULL, "1,000");
    value_is(mail_number(UINT64_MAX), NULL, "18,446,744,073,709,551,615");
    json_t *days = mail_duration(90000);
    assert_int_equal(json_integer_value(json_object_get(days, "days")), 2);
    assert_int_equal(json_integer_value(json_object_get(days, "hours")), 25);
    json_decref(days);
}

/* ---- an operator's folder ---- */

static void subject_is(const struct mail_templates *templates, enum mail_kind kind,
                       const char *language, const char *subject, bool html)
{
    struct mail_text out = render(templates, kind, language, mail_example(kind, MAIL_WITH_CLAIM));
    assert_string_equal(out.subject, subject);
    assert_string_equal(out.fault, "");
    assert_true((out.html.length > 0) == html);
    mail_text_done(&out);
}

static void a_folder_overrides_and_languages_fall_back(void **state)
{
    (void)state;
    put("en", "revoked.txt", "Subject: Gone\n\nGone: {{key_id}}\n{{> footer}}\n");
    put("en", "_footer.txt", "Bye from {{product}}\n");
    put("de", "revoked.txt", "Subject: Widerrufen\n\nWeg: {{key_id}}\n{{> footer}}\n");
    put("de", "revoked.html", "<p>Weg</p>");
    put("de", "_footer.txt", "Gruß, {{product}}\n");
    put("de", "retired.txt", "Subject: Abgeschaltet\n\nNur Text\n");
    put("de-AT", "_footer.txt", "Servus, {{product}}\n");
    put("de-AT", "notes.md", "{{nobody reads this");
    put("", ".hidden", "nor this");
    struct mail_templates *templates = load();
    has_fault(templates, NULL);
    subject_is(templates, MAIL_REVOKED, "en", "Gone", true);
    subject_is(templates, MAIL_REVOKED, NULL, "Gone", true);
    subject_is(templates, MAIL_REVOKED, "fr-CA", "Gone", true);
    subject_is(templates, MAIL_REVOKED, "de", "Widerrufen", true);
    subject_is(templates, MAIL_REVOKED, "DE-at", "Widerrufen", true);
    subject_is(templates, MAIL_REVOKED, "de-CH-1996", "Widerrufen", true);
    /* Text and HTML of one mail are of one language. */
    subject_is(templates, MAIL_RETIRED, "de", "Abgeschaltet", false);
    subject_is(templates, MAIL_EXPIRING, "de", "Your Example API key expires soon", true);
    struct mail_text out =
        render(templates, MAIL_REVOKED, "de-AT", mail_example(MAIL_REVOKED, MAIL_SHORTEST));
    assert_string_equal(out.text.data, "Weg: key_01jn8p0v5k2aa\nServus, Example\n");
    assert_string_equal(out.html.data, "<p>Weg</p>");
    mail_text_done(&out);
    out = render(templates, MAIL_EXPIRING, "en", mail_example(MAIL_EXPIRING, MAIL_SHORTEST));
    holds(out.text.data, "Bye from Example\n");
    mail_text_done(&out);
    mail_templates_free(&templates);
}

static void what_editors_leave_behind_is_understood(void **state)
{
    (void)state;
    put("en", "revoked.txt",
        "\xEF\xBB\xBFSubject: Gone \r\n\r\nGone\r\n{{#key_title}}\r\nx\r\n{{/key_title}}\r\n");
    put("en", "revoked.html", "");
    struct mail_templates *templates = load();
    has_fault(templates, NULL);
    struct mail_text out =
        render(templates, MAIL_REVOKED, "en", mail_example(MAIL_REVOKED, MAIL_WITH_SECRET));
    assert_string_equal(out.subject, "Gone");
    assert_string_equal(out.text.data, "Gone\nx\n");
    assert_int_equal(out.html.length, 0); /* an empty HTML file: text alone */
    mail_text_done(&out);
    mail_templates_free(&templates);
}

/* A single wrong file: the fault tells `part` and the mail is the built-in one. */
static void falls_back(const char *language, const char *file, const char *text, const char *part)
{
    char path[160];
    put(language, file, text);
    struct mail_templates *templates = load();
    has_fault(templates, part);
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++) {
        struct mail_text out = render(templates, (enum mail_kind)kind, language,
                                      mail_example((enum mail_kind)kind, MAIL_WITH_CLAIM));
        struct mail_text expected = render(built_in, (enum mail_kind)kind, "en",
                                           mail_example((enum mail_kind)kind, MAIL_WITH_CLAIM));
        assert_string_equal(out.subject, expected.subject);
        assert_string_equal(out.text.data, expected.text.data);
        assert_string_equal(out.html.data, expected.html.data);
        mail_text_done(&out);
        mail_text_done(&expected);
    }
    mail_templates_free(&templates);
    snprintf(path, sizeof path, "%s/%s/%s", folder, language, file);
    assert_int_equal(unlink(path), 0);
}

static void a_wrong_file_gives_way_to_the_built_in_one(void **state)
{
    (void)state;
    falls_back("en", "revoked.txt", "Subject: x\n\nDear\n{{custmer_name}}\n",
               "/en/revoked.txt:4: unknown name \"custmer_name\"; known here: key_title, key_id, "
               "environment, key_start, revoked_at, product, client_id, customer_name, ");
    falls_back("en", "revoked.html", "\n<p>{{secret}}</p>",
               "/en/revoked.html:2: unknown name \"secret\"");
    falls_back(
        "de", "revoked.txt", "Subject: x\n\n{{revoked_at}}",
        "/de/revoked.txt:3: \"revoked_at\" is not a text but a group; write its name, a dot");
    falls_back("en", "rotated.txt", "Subject: {{key_title}}\n\nx",
               "/en/rotated.txt:1: unknown name \"key_title\"; known here: product");
    falls_back("en", "rotated.txt", "Subject: Your secret {{secret}}\n\nx",
               "/en/rotated.txt:1: unknown name \"secret\"");
    falls_back("en", "rotated.txt", "Hello\n\nx",
               "/en/rotated.txt:1: the first line is \"Subject: \"");
    falls_back("en", "rotated.txt", "Subject: \n\nx", "/en/rotated.txt:1: the first line is");
    falls_back("en", "rotated.txt", "Subject: x\nBcc: y\n",
               "/en/rotated.txt:2: a blank line stands");
    falls_back("en", "rotated.txt", "Subject: x\n\n{{#secret}}\n",
               "/en/rotated.txt:3: the section \"secret\" is not closed");
    falls_back("en", "rotated.txt", "Subject: x\n\n\xFF", "/en/rotated.txt: the text is not UTF-8");
    falls_back("en", "rotatd.txt", "Subject: x\n\n",
               "/en/rotatd.txt: there is no mail of the kind");
    falls_back("fr", "rotated.html", "<p>", "/fr/rotated.html is not used: rotated.txt, which has");
    falls_back("en_US", "rotated.txt", "Subject: x\n\n",
               "/en_US: a folder is called as its language");
    char path[128];
    snprintf(path, sizeof path, "%s/en_US", folder);
    assert_int_equal(rmdir(path), 0);
    /* Partials: for all mails, or for none. */
    falls_back(
        "en", "_header.txt", "{{> nothing}}",
        "/en/_header.txt:1: the partial \"nothing\" does not exist (included by built-in en/");
    falls_back("en", "_footer.html", "\n{{key_title}}",
               "/en/_footer.html:2: unknown name \"key_title\"");
    falls_back("en", "_header.html", "{{> header}}",
               "/en/_header.html:1: the partial \"header\" includes");
    falls_back("en", "_key.txt", "\n{{> delivery}}", "unknown name \"secret\"");
    /* A built-in partial where it does not fit: who includes it is wrong. */
    falls_back("de", "revoked.txt", "Subject: x\n\n\n{{> delivery}}",
               "built-in en/_delivery.txt:1: unknown name \"secret\"");
}

static void a_folder_that_cannot_be_read_is_a_fault(void **state)
{
    (void)state;
    struct mail_templates *templates;
    assert_int_equal(mail_templates_new(&templates, "/nonexistent/mails"), ERR_OK);
    has_fault(templates, "/nonexistent/mails cannot be read: No such file or directory");
    subject_is(templates, MAIL_REVOKED, "en", "Your Example API key was revoked", true);
    mail_templates_free(&templates);
    char path[128];
    put("en", "retired.txt", "Subject: x\n\n");
    snprintf(path, sizeof path, "%s/en/revoked.txt", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    templates = load();
    has_fault(templates, "/en/revoked.txt cannot be read: it is not a file");
    mail_templates_free(&templates);
}

static void what_breaks_while_rendering_gives_way_too(void **state)
{
    (void)state;
    put("de", "old_secret_in_use.txt",
        "Subject: "
        "Alt\n\n{{#networks}}{{#networks}}{{#networks}}{{/networks}}{{/networks}}{{/networks}}\n");
    struct mail_templates *templates = load();
    has_fault(templates, NULL);
    subject_is(templates, MAIL_OLD_SECRET_IN_USE, "de", "Alt", false);
    json_t *context = mail_example(MAIL_OLD_SECRET_IN_USE, MAIL_SHORTEST);
    json_t *networks = json_object_get(context, "networks");
    for (int i = 0; i < 100; i++)
        assert_int_equal(json_array_append(networks, json_array_get(networks, 0)), 0);
    struct mail_text out = render(templates, MAIL_OLD_SECRET_IN_USE, "de", context);
    assert_string_equal(out.subject, "Your old Example API key is still in use");
    holds(out.fault, "/de/old_secret_in_use.txt:3: more than 200000 lines and tags");
    holds(out.text.data, "198.51.100.0/24");
    holds(out.html.data, "198.51.100.0/24");
    mail_text_done(&out);
    mail_templates_free(&templates);
}

static void folders_are_called_as_languages(void **state)
{
    (void)state;
    static const char *const bad[] = {"d",      "e1",    "abcdefghi",   "de-",
                                      "de--AT", "de.AT", "de-abcdefghi"};
    static const char *const good[] = {"de", "gsw", "de-AT", "zh-Hant-TW", "de-CH-1996", "es-419"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        put(good[i], "revoked.txt", "Subject: x\n\n");
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        put(bad[i], "revoked.txt", "Subject: x\n\n");
    struct mail_templates *templates = load();
    const char *const *faults;
    assert_int_equal(mail_templates_faults(templates, &faults), COUNT_OF(bad));
    for (size_t i = 0; i < COUNT_OF(good); i++)
        subject_is(templates, MAIL_REVOKED, good[i], "x", false);
    mail_templates_free(&templates);
}

static void many_faults_are_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < MAIL_TEMPLATE_FAULTS_MAX + 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "wrong%d.txt", i);
        put("en", name, "");
    }
    struct mail_templates *templates = load();
    const char *const *faults;
    assert_int_equal(mail_templates_faults(templates, &faults), MAIL_TEMPLATE_FAULTS_MAX);
    holds(faults[MAIL_TEMPLATE_FAULTS_MAX - 1], "more is wrong there");
    mail_templates_free(&templates);
}

static void names_of_kinds_are_read_back(void **state)
{
    (void)state;
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++) {
        enum mail_kind parsed;
        assert_true(mail_kind_parse(span_text(mail_kind_name((enum mail_kind)kind)), &parsed));
        assert_int_equal(parsed, kind);
    }
    enum mail_kind parsed;
    assert_false(mail_kind_parse(SPAN("rotate"), &parsed));
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_built_in_mail_is_whole),
        cmocka_unit_test(secrets_and_titles_stay_out_of_subjects),
        cmocka_unit_test(a_secret_goes_along_in_two_shapes),
        cmocka_unit_test(notices_say_what_they_must),
        cmocka_unit_test(the_html_fetches_nothing),
        cmocka_unit_test(hostile_names_do_no_harm),
        cmocka_unit_test(a_long_subject_is_cut_between_characters),
        cmocka_unit_test(contexts_hold_what_is_declared),
        cmocka_unit_test(values_are_written_out),
        WITH_FOLDER(a_folder_overrides_and_languages_fall_back),
        WITH_FOLDER(what_editors_leave_behind_is_understood),
        WITH_FOLDER(a_wrong_file_gives_way_to_the_built_in_one),
        WITH_FOLDER(a_folder_that_cannot_be_read_is_a_fault),
        WITH_FOLDER(what_breaks_while_rendering_gives_way_too),
        WITH_FOLDER(folders_are_called_as_languages),
        WITH_FOLDER(many_faults_are_bounded),
        cmocka_unit_test(names_of_kinds_are_read_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
