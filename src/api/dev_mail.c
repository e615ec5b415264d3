/* Caught mails as pages, for a developer. Called by api/web_routes.c on the loop thread, only where
 * service->caught names a maildir: in `keymeterd dev`, which listens on loopback. It reads files
 * there and then, which a daemon that serves others must not. What always holds: nothing of a mail
 * reaches a page without being escaped, and no file outside the maildir is opened. */
#include "api/dev_mail.h"

#include "api/problem.h"
#include "api/request.h"
#include "api/web.h"
#include "base/codec.h"
#include "service/context.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_MAX = 100, MAIL_BYTES = 256 * 1024, FIELD_BYTES = 512 };

static bool name_is_good(struct span name)
{
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        if ((c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '.' &&
            c != '-' && c != '_' && c != '=' && c != ':' && c != ',')
            return false;
    }
    return name.length && name.length < NAME_MAX && name.data[0] != '.';
}

static bool mail_read(const struct service *service, struct span name, struct buf *out)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/new/%.*s", service->caught, (int)name.length, name.data);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    char *room = buf_reserve(out, MAIL_BYTES);
    if (room) out->length += fread(room, 1, MAIL_BYTES, file);
    fclose(file);
    return room != NULL;
}

/* A header's first line. */
static struct span field_of(struct span mail, const char *name)
{
    const char *end = memmem(mail.data, mail.length, "\n\n", 2);
    size_t length = end ? (size_t)(end - mail.data) : mail.length, name_length = strlen(name);
    for (size_t at = 0; at < length;) {
        const char *line = mail.data + at, *stop = memchr(line, '\n', length - at);
        size_t line_length = stop ? (size_t)(stop - line) : length - at;
        if (line_length > name_length && strncasecmp(line, name, name_length) == 0)
            return span_of(line + name_length, line_length - name_length);
        at += line_length + 1;
    }
    return SPAN("");
}

static void quoted_decode(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.length; i++) {
        bool soft = text.data[i] == '=' && i + 1 < text.length && text.data[i + 1] == '\n';
        bool coded = text.data[i] == '=' && i + 2 < text.length &&
                     hex_value(text.data[i + 1]) >= 0 && hex_value(text.data[i + 2]) >= 0;
        if (coded)
            buf_add_char(out,
                         (char)(hex_value(text.data[i + 1]) << 4 | hex_value(text.data[i + 2])));
        else if (!soft)
            buf_add_char(out, text.data[i]);
        i += coded ? 2 : soft ? 1 : 0;
    }
}

/* The text as a person reads it; empty where the mail is encrypted, or coded otherwise. */
static void text_decode(struct span mail, struct buf *out)
{
    static const char type[] = "Content-Type: text/plain";
    static const char coding[] = "Content-Transfer-Encoding: quoted-printable\n";
    const char *part = memmem(mail.data, mail.length, type, sizeof type - 1);
    if (!part) return;
    size_t left = mail.length - (size_t)(part - mail.data);
    const char *body = memmem(part, left, "\n\n", 2);
    if (!body || !memmem(part, (size_t)(body + 1 - part), coding, sizeof coding - 1)) return;
    body += 2;
    left = mail.length - (size_t)(body - mail.data);
    const char *end = memmem(body, left, "\n--=_", 5);
    quoted_decode(span_of(body, end ? (size_t)(end - body) : left), out);
}

/* Bytes that are no UTF-8 must not keep a page from being shown. */
static json_t *text_json(struct span text)
{
    json_t *string = json_stringn(text.data, text.length);
    return string ? string : json_string("(not UTF-8)");
}

static json_t *row_of(const struct service *service, struct span name)
{
    CLEANUP(buf_done) struct buf mail = {0};
    if (!mail_read(service, name, &mail)) return NULL;
    struct span all = buf_span(&mail);
    return json_pack(
        "{s:o, s:o, s:o, s:o}", "name", text_json(name), "to", text_json(field_of(all, "To:")),
        "subject", text_json(field_of(all, "Subject:")), "date", text_json(field_of(all, "Date:")));
}

static int newest_first(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*b)->d_name, (*a)->d_name);
}

static json_t *rows_of(const struct service *service)
{
    char path[PATH_MAX];
    struct dirent **entries = NULL;
    json_t *rows = json_array();
    snprintf(path, sizeof path, "%s/new", service->caught);
    int count = scandir(path, &entries, NULL, newest_first);
    for (int i = 0; i < count; i++) {
        struct span name = span_text(entries[i]->d_name);
        json_t *row =
            name_is_good(name) && json_array_size(rows) < SHOWN_MAX ? row_of(service, name) : NULL;
        if (row) json_array_append_new(rows, row);
        free(entries[i]);
    }
    free(entries);
    return rows;
}

struct verdict handle_dev_mails(struct http_request *request)
{
    const struct service *service = request_service(request);
    if (!service->caught) return problem_reply_not_found(request, "page");
    json_t *rows = rows_of(service);
    struct web_page page = {.status = 200, .name = "dev_mails", .title = "Caught mails"};
    page.context = json_pack("{s:b, s:o}", "any", json_array_size(rows) > 0, "mails", rows);
    return web_reply(request, &page);
}

struct verdict handle_dev_mail(struct http_request *request)
{
    CLEANUP(buf_done) struct buf mail = {0}, text = {0};
    const struct service *service = request_service(request);
    struct span name = path_text(request, 0);
    if (!service->caught || !name_is_good(name) || !mail_read(service, name, &mail))
        return problem_reply_not_found(request, "mail");
    text_decode(buf_span(&mail), &text);
    struct web_page page = {.status = 200, .name = "dev_mail", .title = "Caught mail"};
    page.context = json_pack("{s:o, s:o}", "text", text_json(buf_span(&text)), "source",
                             text_json(buf_span(&mail)));
    return web_reply(request, &page);
}
