/* Reads the templates of mails and checks them, when the daemon starts and for `mail preview`. What
 * cannot be used is marked broken and told as a fault; something else always stands in for it, in
 * the end the built-in template, so a mistake in a folder never keeps the daemon from starting. */
#include "service/mail_template_private.h"

#include "base/codec.h"
#include "base/plain_text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 1000 }; /* with the built-in ones */

struct loading {
    struct mail_templates *templates;
    const char *folder;
    enum err result; /* ERR_NO_MEMORY */
};

static void fault_add(struct loading *loading, const char *format, ...) PRINTF_LIKE(2, 3);

static void fault_add(struct loading *loading, const char *format, ...)
{
    struct mail_templates *templates = loading->templates;
    char text[TEMPLATE_ERROR_SIZE];
    va_list arguments;
    if (templates->fault_count == MAIL_TEMPLATE_FAULTS_MAX) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (templates->fault_count == MAIL_TEMPLATE_FAULTS_MAX - 1)
        snprintf(text, sizeof text, "%.200s: more is wrong there", loading->folder);
    char *copy = strdup(text);
    if (copy)
        templates->faults[templates->fault_count++] = copy;
    else
        loading->result = ERR_NO_MEMORY;
}

static struct mail_source *source_add(struct loading *loading, const char *language,
                                      const char *name, bool html, bool built_in)
{
    struct mail_templates *templates = loading->templates;
    if (templates->count == templates->capacity) {
        size_t capacity = templates->capacity ? templates->capacity * 2 : 64;
        struct mail_source *sources = realloc(templates->sources, capacity * sizeof *sources);
        if (!sources) {
            loading->result = ERR_NO_MEMORY;
            return NULL;
        }
        templates->sources = sources;
        templates->capacity = capacity;
    }
    struct mail_source *source = &templates->sources[templates->count++];
    *source = (struct mail_source){.html = html, .built_in = built_in};
    snprintf(source->language, sizeof source->language, "%s", language);
    snprintf(source->name, sizeof source->name, "%s", name);
    return source;
}

/* Takes "Subject: …" and the blank line behind it off the text and compiles the subject. */
static enum err subject_compile(struct mail_source *source, const char *file, struct span *text,
                                char *error)
{
    static const char label[] = "Subject: ";
    const char *end = text->length ? memchr(text->data, '\n', text->length) : NULL;
    size_t line = end ? (size_t)(end - text->data) : text->length;
    if (!span_starts(*text, label) || line == sizeof label - 1) {
        snprintf(error, TEMPLATE_ERROR_SIZE,
                 "%s:1: the first line is \"Subject: \" and the subject", file);
        return ERR_INVALID;
    }
    if (!end || (line + 1 < text->length && end[1] != '\n')) {
        snprintf(error, TEMPLATE_ERROR_SIZE, "%s:2: a blank line stands behind the subject", file);
        return ERR_INVALID;
    }
    struct span subject = span_of(text->data + sizeof label - 1, line - (sizeof label - 1));
    size_t head = line + 2 < text->length ? line + 2 : text->length;
    *text = span_of(text->data + head, text->length - head);
    return template_new(&source->subject, file, 1, subject, error);
}

/* Compiles a file's text; a fault when it is not usable. */
static void source_compile(struct loading *loading, struct mail_source *source, const char *file,
                           struct span text)
{
    char error[TEMPLATE_ERROR_SIZE];
    bool is_mail = !source->html && source->name[0] != '_';
    unsigned line = is_mail ? 3 : 1;
    enum err result = ERR_OK;
    if (!text_is_utf8(text)) {
        snprintf(error, sizeof error, "%s: the text is not UTF-8", file);
        result = ERR_INVALID;
    }
    if (!result && is_mail) result = subject_compile(source, file, &text, error);
    if (!result) result = template_new(&source->body, file, line, text, error);
    source->broken = result != ERR_OK;
    if (result == ERR_NO_MEMORY)
        loading->result = result;
    else if (result)
        fault_add(loading, "%s", error);
}

/* "key_issued.txt" into name and kind of file; false: it is not for us. */
static bool file_name_parse(const char *file, char name[MAIL_NAME_SIZE], bool *html)
{
    const char *dot = strrchr(file, '.');
    if (!dot || dot == file || dot - file >= MAIL_NAME_SIZE) return false;
    *html = strcmp(dot, ".html") == 0;
    snprintf(name, MAIL_NAME_SIZE, "%.*s", (int)(dot - file), file);
    return *html || strcmp(dot, ".txt") == 0;
}

static void built_in_load(struct loading *loading)
{
    for (size_t i = 0; i < mail_built_in_count && !loading->result; i++) {
        const struct mail_built_in *built_in = &mail_built_in[i];
        char language[MAIL_LANGUAGE_SIZE], name[MAIL_NAME_SIZE], label[TEMPLATE_FILE_SIZE];
        const char *slash = strchr(built_in->path, '/');
        bool html;
        if (!slash || !file_name_parse(slash + 1, name, &html)) continue;
        snprintf(language, sizeof language, "%.*s", (int)(slash - built_in->path), built_in->path);
        snprintf(label, sizeof label, "built-in %s", built_in->path);
        struct mail_source *source = source_add(loading, language, name, html, true);
        if (source)
            source_compile(loading, source, label, span_of(built_in->text, built_in->length));
    }
}

/* ---- an operator's folder ---- */

/* The file's text without carriage returns and byte order mark, to be freed; NULL: errno. */
static char *file_read(const char *path, size_t *length)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return NULL;
    struct stat stat_of;
    char *text = NULL;
    ssize_t got = 1;
    size_t size = 0;
    if (fstat(fd, &stat_of) == 0 && !S_ISREG(stat_of.st_mode))
        errno = EINVAL;
    else
        text = malloc(TEMPLATE_TEXT_MAX + 1);
    /* One byte past what is allowed is enough for template_new to refuse it. */
    while (text && got > 0 && size < TEMPLATE_TEXT_MAX + 1) {
        got = read(fd, text + size, TEMPLATE_TEXT_MAX + 1 - size);
        if (got > 0) size += (size_t)got;
    }
    int error = errno;
    close(fd);
    errno = error;
    if (got < 0) {
        free(text);
        return NULL;
    }
    size_t from = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    *length = 0;
    for (; text && from < size; from++)
        if (text[from] != '\r') text[(*length)++] = text[from];
    return text;
}

static void file_load(struct loading *loading, const char *language, const char *file)
{
    char path[PATH_MAX], name[MAIL_NAME_SIZE];
    enum mail_kind kind;
    bool html;
    if (!file_name_parse(file, name, &html)) return;
    int length = snprintf(path, sizeof path, "%s/%s/%s", loading->folder, language, file);
    if (length >= (int)sizeof path || loading->templates->count >= FILES_MAX) {
        fault_add(loading, "%.200s/%s/%s is not read: %s", loading->folder, language, file,
                  length >= (int)sizeof path ? "its path is too long" : "there are too many files");
        return;
    }
    /* What errors call it: the end of its path, when that is long. */
    const char *label = path + (length < TEMPLATE_FILE_SIZE ? 0 : length - TEMPLATE_FILE_SIZE + 1);
    if (name[0] != '_' && !mail_kind_parse(span_text(name), &kind)) {
        fault_add(loading,
                  "%s: there is no mail of the kind \"%s\"; a partial's name begins with _", label,
                  name);
        return;
    }
    size_t size;
    char *text = file_read(path, &size);
    if (!text) {
        fault_add(loading, "%s cannot be read: %s", label,
                  errno == EINVAL ? "it is not a file" : strerror(errno));
        return;
    }
    struct mail_source *source = source_add(loading, language, name, html, false);
    if (source) source_compile(loading, source, label, span_of(text, size));
    free(text);
}

/* Calls `load` for each entry in the order of their names, but hidden ones. */
static void folder_walk(struct loading *loading, const char *path, const char *language,
                        void (*load)(struct loading *, const char *, const char *))
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) fault_add(loading, "%s cannot be read: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.' && !loading->result)
            load(loading, language, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

static void language_load(struct loading *loading, const char *unused, const char *name)
{
    char path[PATH_MAX];
    struct stat stat_of;
    (void)unused;
    int length = snprintf(path, sizeof path, "%s/%s", loading->folder, name);
    if (length >= (int)sizeof path || stat(path, &stat_of) || !S_ISDIR(stat_of.st_mode)) return;
    if (language_tag_is_good(span_text(name)))
        folder_walk(loading, path, name, file_load);
    else
        fault_add(loading, "%s: a folder is called as its language is, for example de or pt-BR",
                  path);
}

/* ---- checking ---- */

/* An operator's HTML is only ever sent beside the text of the same language. */
static void orphans_find(struct loading *loading)
{
    struct mail_lookup lookup = {.templates = loading->templates};
    for (size_t i = 0; i < loading->templates->count; i++) {
        struct mail_source *source = &loading->templates->sources[i];
        if (source->built_in || source->broken || !source->html || source->name[0] == '_') continue;
        if (mail_source_at(&lookup, span_text(source->language), source->name)) continue;
        source->broken = true;
        fault_add(loading, "%s/%s/%s.html is not used: %s.txt, which has the subject, is missing",
                  loading->folder, source->language, source->name, source->name);
    }
}

static enum err part_check(const struct template *template, const struct template_scope *scope,
                           const struct mail_lookup *lookup, struct template_fault *fault)
{
    struct template_options options = {.partial = mail_partial_find, .partials = lookup};
    return template_check(template, scope, &options, fault);
}

/* Checks what a mail of this kind would be made of. */
static enum err mail_check(struct mail_lookup lookup, enum mail_kind kind,
                           struct template_fault *fault)
{
    struct template_scope common = {.variables = mail_common_variables};
    struct template_scope scope = {mail_kind_variables(kind), NULL, &common};
    struct template_scope of_subject = {.variables = mail_subject_variables};
    const struct mail_source *text = mail_source_find(&lookup, mail_kind_name(kind));
    if (!text) {
        snprintf(fault->text, sizeof fault->text, "there is no template for %s",
                 mail_kind_name(kind));
        return ERR_NOT_FOUND;
    }
    enum err result = part_check(text->subject, &of_subject, &lookup, fault);
    if (!result) result = part_check(text->body, &scope, &lookup, fault);
    lookup.html = true;
    const struct mail_source *html =
        mail_source_at(&lookup, span_text(text->language), mail_kind_name(kind));
    if (!result && html) result = part_check(html->body, &scope, &lookup, fault);
    return result;
}

/* The file to put out of use: an operator's that is wrong itself or includes what is wrong. */
static struct mail_source *culprit_find(struct mail_templates *templates,
                                        const struct template_fault *fault)
{
    for (size_t at = 0; fault->within[at]; at++)
        for (size_t i = 0; i < templates->count; i++) {
            struct mail_source *source = &templates->sources[i];
            if (!source->built_in &&
                (source->body == fault->within[at] || source->subject == fault->within[at]))
                return source;
        }
    return NULL;
}

/* Checks all mails of a language; a file that is wrong is put out of use, and what then stands in
 * for it is checked in its turn. */
static void language_check(struct loading *loading, const char *language, bool built_in_only)
{
    struct mail_lookup lookup = {loading->templates, language, false, built_in_only};
    for (int kind = 0; kind < MAIL_KIND_COUNT; kind++) {
        struct template_fault fault = {0};
        while (!loading->result && mail_check(lookup, (enum mail_kind)kind, &fault)) {
            struct mail_source *source = culprit_find(loading->templates, &fault);
            fault_add(loading, "%s", fault.text);
            if (!source) break;
            source->broken = true;
            orphans_find(loading);
        }
    }
}

enum err mail_templates_load(struct mail_templates *templates, const char *folder)
{
    struct loading loading = {.templates = templates, .folder = folder ? folder : ""};
    built_in_load(&loading);
    language_check(&loading, "en", true);
    if (loading.folder[0]) folder_walk(&loading, loading.folder, "", language_load);
    orphans_find(&loading);
    language_check(&loading, "en", false);
    /* The files of a language stand together. */
    for (size_t i = 1; i < templates->count; i++)
        if (strcmp(templates->sources[i].language, templates->sources[i - 1].language) != 0)
            language_check(&loading, templates->sources[i].language, false);
    return loading.result;
}
