/* The settings that this node runs with, to be read. Called by the routing of the dashboard on the
 * loop thread. What always holds: it is what `keymeterd config show` says; secrets are in files, of
 * which only the names are among them. */
#include "api/admin.h"
#include "api/admin_page.h"
#include "api/request.h"
#include "conf/settings.h"
#include "service/context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "# help (allowed; default "x")" */
static void help_take(const char *line, json_t **help, json_t **allowed)
{
    const char *open = strrchr(line, '(');
    const char *sentence = strstr(line, ". (");
    if (sentence) open = sentence + 2;
    size_t length = open && open > line + 2 ? (size_t)(open - line) - 3 : strlen(line);
    json_decref(*help);
    json_decref(*allowed);
    *help = json_stringn(line + 2, length);
    *allowed = open ? json_stringn(open + 1, strcspn(open + 1, "\n") - 1) : json_string("");
}

static json_t *section_add(json_t *sections, const char *line)
{
    json_t *rows = json_array();
    json_t *section =
        json_pack("{s:s%, s:O}", "name", line + 1, strcspn(line + 1, "]"), "rows", rows);
    int failed = json_array_append_new(sections, section);
    (void)failed;
    json_decref(rows); /* the section's from here on */
    return rows;
}

static json_t *sections_of(char *text)
{
    json_t *sections = json_array(), *rows = NULL, *help = NULL, *allowed = NULL;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *equals = strstr(line, " = ");
        if (line[0] == '[') {
            rows = section_add(sections, line);
        } else if (line[0] == '#') {
            help_take(line, &help, &allowed);
        } else if (equals && rows) {
            int failed = json_array_append_new(
                rows, json_pack("{s:s%, s:s, s:O?, s:O?}", "key", line, (size_t)(equals - line),
                                "value", equals + 3, "help", help, "allowed", allowed));
            (void)failed;
        }
    }
    json_decref(help);
    json_decref(allowed);
    return sections;
}

struct verdict handle_admin_settings(struct http_request *request)
{
    struct admin_page *page = admin_page_new(request, "admin_settings", "Settings", "settings");
    char *text = NULL;
    size_t size = 0;
    FILE *out = page ? open_memstream(&text, &size) : NULL;
    if (!out) return web_reply_error(request, ERR_NO_MEMORY, NULL);
    settings_write(request_service(request)->settings, out);
    if (fclose(out) == 0) admin_page_set(page, "sections", sections_of(text));
    free(text);
    return admin_page_run(page);
}
