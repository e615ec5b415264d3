/* The table of what `keymeter` can ask, for cli/main.c, help.c and completion.c. */
#ifndef KEYMETER_CLI_COMMANDS_H
#define KEYMETER_CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

enum field_type {
    FIELD_TEXT,
    FIELD_NUMBER,
    FIELD_LIST, /* parted by commas */
    FIELD_FLAG,
    FIELD_JSON, /* an object or array as JSON */
    FIELD_FILE, /* the text of a file; "-": standard input */
    FIELD_PATH, /* a file that the command itself reads, line by line; "-": standard input */
};

/* An option --name VALUE (a flag has none), and where it goes: a query parameter of a GET, else a
 * member of the body; "key.title" is the member title of the member key. */
struct field {
    const char *option, *member;
    enum field_type type;
    bool required;
};

enum show {
    SHOW_TABLE,  /* of `columns` */
    SHOW_OBJECT, /* one member a line */
    SHOW_SECRET, /* the secret alone on standard output, the rest on standard error */
    SHOW_LINK,   /* the link alone on standard output, its end on standard error */
    SHOW_VERDICT,
    SHOW_CHANGES,    /* page after page: what differed, and the totals on standard error */
    SHOW_MAIL,       /* its text with the subject, or its HTML; the id is a kind */
    SHOW_CHAIN,      /* does it hold? */
    SHOW_DOCTOR,     /* of several calls (cli/doctor.h) */
    SHOW_COMPLETION, /* made here; no call */
    SHOW_IMPORT,     /* a call a line (cli/import_list.h) */
    SHOW_RELAY,      /* as SHOW_OBJECT, however long the relay takes */
};

struct command {
    const char *words[2];
    const char *method, *path; /* "%s" is the id given; method NULL: no call of the table's */
    bool reads_secret;         /* from standard input or --key-file, into the member `key` */
    enum show show;
    const char *const *columns;
    const struct field *fields; /* ends with option NULL */
    const char *help;
};

extern const struct command commands[];
extern const size_t command_count;

#endif
