/* Called by cli/main.c with what the API answered. Control characters of titles are not written to
 * a terminal. */
#include "cli/show.h"

#include "base/compiler.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 12, CELL_SIZE = 64 };

/* Columns of a text: its characters, near enough. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

/* Copies what fits, never half a character. */
static void cut_copy(char *out, size_t size, const char *text)
{
    size_t length = strlen(text);
    if (length >= size) {
        length = size - 1;
        while (length && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--;
    }
    memcpy(out, text, length);
    out[length] = '\0';
}

static void cell_text(const json_t *value, char *out, size_t size)
{
    char *encoded = NULL;
    const char *text = json_string_value(value);
    if (!value || json_is_null(value))
        text = "-";
    else if (!text)
        text = encoded = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    cut_copy(out, size, text ? text : "?");
    free(encoded);
    for (char *at = out; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7F) *at = '?';
}

static void print_row(const json_t *row, const char *const *columns, const size_t *widths)
{
    for (size_t i = 0; columns[i]; i++) {
        char text[CELL_SIZE];
        if (row)
            cell_text(json_object_get(row, columns[i]), text, sizeof text);
        else
            snprintf(text, sizeof text, "%s", columns[i]);
        size_t width = width_of(text);
        int pad = columns[i + 1] && width < widths[i] ? (int)(widths[i] - width) : 0;
        printf("%s%*s%s", text, pad, "", columns[i + 1] ? "  " : "\n");
    }
}

void show_table(const json_t *answer, const char *const *columns)
{
    size_t widths[COLUMNS_MAX] = {0}, at;
    const char *name;
    json_t *row, *value;
    json_t *rows = json_object_get(answer, "data");
    for (size_t i = 0; columns[i]; i++)
        widths[i] = strlen(columns[i]);
    json_array_foreach(rows, at, row)
    {
        for (size_t i = 0; columns[i]; i++) {
            char text[CELL_SIZE];
            cell_text(json_object_get(row, columns[i]), text, sizeof text);
            if (width_of(text) > widths[i]) widths[i] = width_of(text);
        }
    }
    print_row(NULL, columns, widths);
    json_array_foreach(rows, at, row)
    {
        print_row(row, columns, widths);
    }
    json_object_foreach((json_t *)(void *)answer, name, value)
    {
        char text[1024];
        if (strcmp(name, "data") == 0 || strcmp(name, "next_cursor") == 0) continue;
        cell_text(value, text, sizeof text);
        printf("%s %s\n", name, text);
    }
    const char *cursor = json_string_value(json_object_get(answer, "next_cursor"));
    if (cursor) fprintf(stderr, "more: --cursor %s\n", cursor);
}

void show_object(const json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(void *)object, name, value)
    {
        char text[1024];
        cell_text(value, text, sizeof text);
        printf("%-18s %s\n", name, text);
    }
}

void show_mail(const json_t *answer)
{
    const char *format = json_string_value(json_object_get(answer, "format"));
    const char *subject = json_string_value(json_object_get(answer, "subject"));
    const char *content = json_string_value(json_object_get(answer, "content"));
    const char *fault = json_string_value(json_object_get(answer, "fault"));
    if (format && strcmp(format, "text") == 0) printf("Subject: %s\n\n", subject ? subject : "");
    if (content) fputs(content, stdout);
    if (!content) fputs("it has no such form\n", stderr);
    if (fault) fprintf(stderr, "%s; this is the built-in text\n", fault);
}

static void print_state(const json_t *state)
{
    static const char *const names[] = {"tier", "status", "payment"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = json_string_value(json_object_get(state, names[i]));
        printf("%s%s", i ? " " : "", text ? text : "?");
    }
}

void show_changes(const json_t *answer, struct show_totals *totals)
{
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(answer, "data"), index, row)
    {
        const char *id = json_string_value(json_object_get(row, "customer_id"));
        const char *name = json_string_value(json_object_get(row, "external_id"));
        bool read = json_is_true(json_object_get(row, "read"));
        bool changed = json_is_true(json_object_get(row, "changed"));
        totals->read += read;
        totals->changed += changed;
        totals->unread += !read;
        if (read && !changed) continue;
        printf("%s %s: ", id ? id : "?", name ? name : "?");
        if (read) {
            print_state(json_object_get(row, "before"));
            printf(" -> ");
            print_state(json_object_get(row, "after"));
        } else {
            printf("could not be read");
        }
        putchar('\n');
    }
}
