/* What mail_template.c (finding, rendering) and mail_template_load.c (reading, checking) share. */
#ifndef KEYMETER_SERVICE_MAIL_TEMPLATE_PRIVATE_H
#define KEYMETER_SERVICE_MAIL_TEMPLATE_PRIVATE_H

#include "service/mail_template.h"

enum { MAIL_LANGUAGE_SIZE = 36, MAIL_NAME_SIZE = 48 };

/* A file. */
struct mail_source {
    char language[MAIL_LANGUAGE_SIZE]; /* the folder's name */
    char name[MAIL_NAME_SIZE];         /* of the kind, or "_" and the partial's name */
    bool html, built_in;
    bool broken;              /* must not be used */
    struct template *subject; /* only a kind's text has one */
    struct template *body;
};

struct mail_templates {
    struct mail_source *sources;
    size_t count, capacity;
    char *faults[MAIL_TEMPLATE_FAULTS_MAX];
    size_t fault_count;
};

/* Where partials are looked for: the context of mail_partial_find. */
struct mail_lookup {
    const struct mail_templates *templates;
    const char *language;
    bool html, built_in_only;
};

/* The file to use, an operator's before a built-in one; NULL: none. `mail_source_at`: of just this
 * language; `mail_source_find`: of the nearest one, from lookup->language on. */
const struct mail_source *mail_source_at(const struct mail_lookup *lookup, struct span language,
                                         const char *name);
const struct mail_source *mail_source_find(const struct mail_lookup *lookup, const char *name);
/* For struct template_options; `lookup` is a struct mail_lookup. */
const struct template *mail_partial_find(const void *lookup, struct span name);

/* Fills the sources and faults. ERR_NO_MEMORY. */
MUST_USE enum err mail_templates_load(struct mail_templates *templates, const char *folder);

/* The files of templates/mail as cmake/EmbedMails.cmake puts them into the binary. */
struct mail_built_in {
    const char *path; /* "en/key_issued.txt" */
    const unsigned char *text;
    size_t length;
};
extern const struct mail_built_in mail_built_in[];
extern const size_t mail_built_in_count;

#endif
