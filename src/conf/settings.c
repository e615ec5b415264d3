/* Loads the settings: defaults, file, conf.d, overrides, then what must hold between them. Called
 * by main.c and dev.c before anything else starts. Errors name file, line and setting; the first
 * one of a file is the one told. */
#include "conf/settings.h"

#include "base/span.h"
#include "conf/settings_table.h"
#include "conf/settings_value.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_LENGTH = 2048 };

/* One file that is being read. */
struct reading {
    struct settings *settings;
    FILE *file;
    const char *path;
    unsigned line;
    const char *wrong;                 /* with the line, whatever it says */
    unsigned seen[SETTINGS_TABLE_MAX]; /* the line a setting was set on, 0: not yet */
    char *error;
    enum err result;
};

static const struct setting *setting_find(const char *section, const char *key)
{
    for (size_t i = 0; i < settings_table_count; i++)
        if (strcmp(settings_table[i].section, section) == 0 &&
            strcmp(settings_table[i].key, key) == 0)
            return &settings_table[i];
    return NULL;
}

/* What might have been meant: the section's keys, or all sections. */
static void list_known(const char *section, char *out, size_t size)
{
    const char *last = "";
    char names[SETTINGS_ERROR_SIZE / 2] = "";
    size_t used = 0;
    for (int pass = 0; pass < 2 && used == 0; pass++) {
        for (size_t i = 0; i < settings_table_count && used < sizeof names; i++) {
            const struct setting *setting = &settings_table[i];
            const char *name = pass == 0 ? setting->key : setting->section;
            if (pass == 0 && strcmp(setting->section, section) != 0) continue;
            if (strcmp(name, last) == 0) continue;
            int wrote = snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name);
            if (wrote > 0) used += (size_t)wrote;
            last = name;
        }
        if (pass == 0 && used > 0)
            snprintf(out, size, "[%.40s] knows %s", section, names);
        else
            snprintf(out, size, "the sections are %s", names);
    }
}

static enum err store_checked(struct settings *settings, const char *where, const char *section,
                              const char *key, const char *value, char *error)
{
    const struct setting *setting = setting_find(section, key);
    if (!setting) {
        char known[SETTINGS_ERROR_SIZE / 2 + 32];
        if (!section[0]) {
            snprintf(error, SETTINGS_ERROR_SIZE,
                     "%.100s: \"%.40s\" stands under no section; the line of one is written [name]",
                     where, key);
            return ERR_INVALID;
        }
        list_known(section, known, sizeof known);
        snprintf(error, SETTINGS_ERROR_SIZE, "%.100s: unknown setting %.40s.%.40s; %.280s", where,
                 section, key, known);
        return ERR_INVALID;
    }
    enum err result = setting_store(settings, setting, value);
    if (result == ERR_INVALID) {
        char allowed[192];
        setting_allowed(setting, allowed);
        snprintf(error, SETTINGS_ERROR_SIZE, "%.100s: %s.%s cannot be \"%.80s\"; allowed is %s",
                 where, section, key, value, allowed);
    } else if (result) {
        snprintf(error, SETTINGS_ERROR_SIZE, "%.100s: no memory", where);
    }
    return result;
}

static int on_setting(void *user, const char *section, const char *key, const char *value)
{
    struct reading *reading = user;
    if (reading->result) return 0;
    char where[160];
    snprintf(where, sizeof where, "%.120s:%u", reading->path, reading->line);
    const struct setting *setting = setting_find(section, key);
    if (setting && reading->seen[setting - settings_table]) {
        snprintf(reading->error, SETTINGS_ERROR_SIZE,
                 "%s: %s.%s stands already on line %u; remove one of the two", where, section, key,
                 reading->seen[setting - settings_table]);
        reading->result = ERR_INVALID;
        return 0;
    }
    reading->result = store_checked(reading->settings, where, section, key, value, reading->error);
    if (setting) reading->seen[setting - settings_table] = reading->line;
    return reading->result == ERR_OK;
}

/* What inih would pass over without a word; NULL: nothing. The line begins with no blank. */
static const char *line_wrong(const char *line)
{
    size_t length = strcspn(line, "\r\n");
    if (line[length] == '\r' && line[length + 1] && line[length + 1] != '\n')
        return "a carriage return stands within the line; lines end with a line feed";
    const char *end = line[0] == '[' ? strchr(line, ']') : NULL;
    if (!end) return NULL;
    const char *rest = end + 1 + strspn(end + 1, " \t\r\n");
    return *rest && *rest != ';' && *rest != '#' ? "something stands behind [section]" : NULL;
}

/* inih's reader, which counts the lines and takes leading blanks away, because inih takes an
 * indented line for the continuation of the one before. */
static char *next_line(char *out, int size, void *stream)
{
    struct reading *reading = stream;
    int used = 0, c = EOF;
    if (reading->wrong || reading->result) return NULL;
    while (used < size - 1 && (c = getc(reading->file)) != EOF) {
        if (c == '\0') reading->wrong = "the line holds a NUL byte";
        out[used++] = (char)c;
        if (c == '\n') break;
    }
    if (used == 0) return NULL;
    out[used] = '\0';
    reading->line++;
    if (c != '\n' && c != EOF && !reading->wrong) reading->wrong = "the line is too long";
    if (reading->wrong) return NULL;
    size_t blanks = strspn(out, " \t");
    memmove(out, out + blanks, strlen(out + blanks) + 1);
    reading->wrong = line_wrong(out);
    return reading->wrong ? NULL : out;
}

/* A pipe would be waited for, and a folder be read as an empty file. */
static FILE *open_file(const char *path, const char **wrong)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    *wrong = NULL;
    if (file < 0 || fstat(file, &status))
        *wrong = strerror(errno);
    else if (S_ISDIR(status.st_mode))
        *wrong = "it is a folder; give the file itself";
    else if (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode))
        *wrong = "it is a pipe; put the settings into a file";
    FILE *stream = *wrong ? NULL : fdopen(file, "r");
    if (!stream && file >= 0) close(file);
    if (!stream && !*wrong) *wrong = "no memory";
    return stream;
}

static enum err read_file(struct settings *settings, const char *path, char *error)
{
    struct reading reading = {.settings = settings, .path = path, .error = error};
    const char *refused;
    errno = 0;
    reading.file = open_file(path, &refused);
    if (!reading.file) {
        enum err result = errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
        snprintf(error, SETTINGS_ERROR_SIZE, "%.200s cannot be read: %s", path, refused);
        return result;
    }
    ini_max_line = LINE_MAX_LENGTH;
    int bad_line = ini_parse_stream(next_line, &reading, on_setting, &reading);
    bool failed = ferror(reading.file);
    fclose(reading.file);
    /* A section's line that was none makes the next one wrong: the first of them is to be mended.
     */
    bool earlier = bad_line > 0 && (unsigned)bad_line < reading.line;
    if (reading.result && !earlier) return reading.result;
    if (reading.wrong || bad_line) {
        const char *why = reading.wrong ? reading.wrong : "no memory";
        if (bad_line > 0) why = "neither [section] nor key = value nor a # comment";
        snprintf(error, SETTINGS_ERROR_SIZE, "%.200s:%u: %s", path,
                 bad_line > 0 ? (unsigned)bad_line : reading.line, why);
        return ERR_INVALID;
    }
    if (failed) snprintf(error, SETTINGS_ERROR_SIZE, "%.200s cannot be read to its end", path);
    return failed ? ERR_IO : ERR_OK;
}

static int is_conf_file(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 5 && entry->d_name[0] != '.' &&
           strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* The *.conf files of conf.d beside `path`, in the order of their names. */
static enum err read_folder(struct settings *settings, const char *path, char *error)
{
    char folder[PATH_MAX - NAME_MAX - 2];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*sconf.d", slash ? (int)(slash + 1 - path) : 0, path);
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_conf_file, alphasort);
    if (count < 0 && errno != ENOENT && errno != ENOTDIR) {
        snprintf(error, SETTINGS_ERROR_SIZE, "%.200s cannot be read: %s", folder, strerror(errno));
        return ERR_IO;
    }
    enum err result = ERR_OK;
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];
        snprintf(file, sizeof file, "%s/%s", folder, entries[i]->d_name);
        if (!result) result = read_file(settings, file, error);
        free(entries[i]);
    }
    free(entries);
    return result;
}

static enum err fill_defaults(struct settings *settings, char *error)
{
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        enum err result = store_checked(settings, "default", setting->section, setting->key,
                                        setting->initial, error);
        if (result) return result;
    }
    return ERR_OK;
}

enum err settings_set(struct settings *settings, const char *assignment,
                      char error[SETTINGS_ERROR_SIZE])
{
    const char *dot = strchr(assignment, '.');
    const char *equals = strchr(assignment, '=');
    char section[41], key[41];
    if (!dot || !equals || dot > equals || dot - assignment > 40 || equals - dot > 41) {
        snprintf(error, SETTINGS_ERROR_SIZE,
                 "--set takes SECTION.KEY=VALUE, for example listen.api=127.0.0.1:7070");
        return ERR_INVALID;
    }
    snprintf(section, sizeof section, "%.*s", (int)(dot - assignment), assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - dot - 1), dot + 1);
    return store_checked(settings, "--set", section, key, equals + 1, error);
}

/* Where ports are shared, two listeners on one address would both start, and the kernel would deal
 * the connections out among them. Port 0 is another one each time. */
static bool listeners_collide(const char *api, const char *gateway)
{
    size_t length = strlen(api);
    bool any_port = length >= 2 && strcmp(api + length - 2, ":0") == 0;
    return !any_port && strcmp(api, gateway) == 0;
}

static const char *mail_wrong(const struct settings *settings)
{
    bool login = settings->mail.username[0] != '\0';
    if (login != (settings->mail.password_file[0] != '\0'))
        return "mail.username and mail.password_file need each other; set both or none";
    if (settings->mail.url[0] == '\0') return NULL;
    if (settings->mail.from[0] == '\0')
        return "mail.url needs mail.from; give the address that mail is sent from";
    if (login && strncmp(settings->mail.url, "maildir:", 8) == 0)
        return "mail.username is for smtps:// and smtp://; a maildir has no login";
    return NULL;
}

/* What must hold between settings. */
static enum err check_together(const struct settings *settings, char *error)
{
    const char *wrong = NULL;
    if (settings->listen.api[0] == '\0')
        wrong = "listen.api is empty; give an address such as 127.0.0.1:7070";
    else if (listeners_collide(settings->listen.api, settings->listen.gateway))
        wrong = "listen.api and listen.gateway are the same address; each needs one of its own";
    else if (settings->listen.public[0] &&
             (listeners_collide(settings->listen.public, settings->listen.api) ||
              listeners_collide(settings->listen.public, settings->listen.gateway)))
        wrong = "listen.public is the address of another listener; give it one of its own";
    else if (settings->database.socket[0] == '\0' && settings->database.hosts[0] == '\0')
        wrong = "database.socket and database.hosts are both empty; set one of them";
    else if (settings->database.user[0] == '\0' || settings->database.name[0] == '\0')
        wrong = "database.user and database.name must not be empty";
    else if (settings->payment.provider == PAYMENT_PROVIDER_HTTP &&
             (settings->payment.url[0] == '\0' || settings->payment.secret_file[0] == '\0'))
        wrong = "payment.provider = http needs payment.url and payment.secret_file";
    else if (settings->payment.provider == PAYMENT_PROVIDER_STRIPE &&
             settings->payment.secret_file[0] == '\0')
        wrong = "payment.provider = stripe needs payment.secret_file, the file with the API key";
    else if (settings->payment.provider == PAYMENT_PROVIDER_STRIPE &&
             strpbrk(settings->payment.url, "?#"))
        wrong = "payment.url is what Stripe's paths are put behind; it has no ? and no #";
    else if (settings->keys.master_key_file[0] == '\0' || settings->keys.pepper_file[0] == '\0')
        wrong = "keys.master_key_file and keys.pepper_file must not be empty";
    else
        wrong = mail_wrong(settings);
    if (!wrong) return ERR_OK;
    snprintf(error, SETTINGS_ERROR_SIZE, "%s", wrong);
    return ERR_INVALID;
}

static enum err name_node(struct settings *settings, char *error)
{
    if (settings->node.name[0] != '\0') return ERR_OK;
    char name[65] = "";
    if (gethostname(name, sizeof name - 1) || name[0] == '\0') snprintf(name, sizeof name, "node");
    return store_checked(settings, "the host's name", "node", "name", name, error);
}

/* It quotes what stands in a file, and may go to a terminal. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == '\x7F') *text = '?';
}

enum err settings_load(struct settings *out, const char *path, const char *const *sets,
                       size_t set_count, char error[SETTINGS_ERROR_SIZE])
{
    *out = (struct settings){0};
    error[0] = '\0';
    enum err result = fill_defaults(out, error);
    if (!result) result = read_file(out, path ? path : SETTINGS_FILE, error);
    if (result == ERR_NOT_FOUND) result = path ? ERR_IO : ERR_OK;
    if (!result) result = read_folder(out, path ? path : SETTINGS_FILE, error);
    for (size_t i = 0; i < set_count && !result; i++)
        result = settings_set(out, sets[i], error);
    if (!result) result = name_node(out, error);
    if (!result) result = check_together(out, error);
    if (result) make_printable(error);
    return result;
}

bool settings_rotates(const struct settings *settings)
{
    bool mails = settings->mail.url[0] != '\0';
    return settings->rotation.automatic == SETTINGS_AUTOMATIC_YES ||
           (settings->rotation.automatic == SETTINGS_AUTOMATIC_WITH_MAIL && mails);
}

void settings_done(struct settings *settings)
{
    arena_done(&settings->memory);
}

void settings_write(const struct settings *settings, FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < settings_table_count; i++) {
        const struct setting *setting = &settings_table[i];
        char allowed[192];
        setting_allowed(setting, allowed);
        if (strcmp(section, setting->section) != 0)
            fprintf(out, "%s[%s]\n", i ? "\n" : "", setting->section);
        section = setting->section;
        fprintf(out, "# %s (%s; default \"%s\")\n%s = ", setting->help, allowed, setting->initial,
                setting->key);
        setting_write(settings, setting, out);
        fputc('\n', out);
    }
}
