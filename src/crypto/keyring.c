/* Credential files: made once by the daemon's first start, loaded by every start. Main thread;
 * what is loaded is read-only afterwards, for any thread. Key bytes are only ever in sodium's
 * guarded memory, and error texts name files and lines, never contents. */
#include "crypto/keyring.h"

#include "base/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ID_LENGTH = 8, LINE_LENGTH = ID_LENGTH + 1 + 64, FILE_MAX = 4096 };

struct key_list {
    unsigned count;
    char ids[KEYRING_KEYS_MAX][KEYRING_ID_SIZE];
    unsigned char keys[KEYRING_KEYS_MAX][KEYRING_KEY_SIZE];
};

struct keyring {
    struct key_list master, pepper;
};

/* ---- reading ---- */

/* systemd gives credentials of a service with a user of its own to root, readable by an ACL that
 * shows as a group bit: those files are as private as 0400 ones. */
static bool is_systemd_credential(const char *path, const struct stat *status)
{
    const char *directory = secure_getenv("CREDENTIALS_DIRECTORY");
    return directory && *directory && span_starts(span_text(path), directory) &&
           status->st_uid == 0 && (status->st_mode & 0037) == 0;
}

static enum err check_file(int fd, const char *path, char *error)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        snprintf(error, KEYRING_ERROR_SIZE, "%s is not a regular file", path);
        return ERR_INVALID;
    }
    if ((status.st_mode & 0077) && !is_systemd_credential(path, &status)) {
        snprintf(error, KEYRING_ERROR_SIZE,
                 "%s may be read or written by group or others (mode %04o): chmod 600 it", path,
                 status.st_mode & 07777);
        return ERR_DENIED;
    }
    if (status.st_size > FILE_MAX) {
        snprintf(error, KEYRING_ERROR_SIZE, "%s is larger than a key file can be", path);
        return ERR_INVALID;
    }
    return ERR_OK;
}

static enum err open_file(const char *path, int *fd, char *error)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd >= 0) return check_file(*fd, path, error);
    int reason = errno;
    snprintf(error, KEYRING_ERROR_SIZE, "cannot open %s: %s", path, strerror(reason));
    return reason == ENOENT ? ERR_NOT_FOUND : ERR_IO;
}

/* The whole file into guarded memory of FILE_MAX + 1 bytes. */
static enum err read_file(const char *path, char *text, size_t *length, char *error)
{
    int fd;
    enum err result = open_file(path, &fd, error);
    *length = 0;
    while (result == ERR_OK) {
        ssize_t got = read(fd, text + *length, FILE_MAX + 1 - *length);
        if (got == 0) break;
        if (got > 0) {
            *length += (size_t)got;
        } else if (errno != EINTR) {
            snprintf(error, KEYRING_ERROR_SIZE, "cannot read %s: %s", path, strerror(errno));
            result = ERR_IO;
        }
        if (*length > FILE_MAX) {
            snprintf(error, KEYRING_ERROR_SIZE, "%s is larger than a key file can be", path);
            result = ERR_INVALID;
        }
    }
    if (fd >= 0) close(fd);
    return result;
}

static bool is_lower_hex(const char *text, size_t length)
{
    return strspn(text, "0123456789abcdef") >= length;
}

static int find_key(const struct key_list *list, const char *id)
{
    if (!id) return list->count ? 0 : -1;
    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->ids[i], id) == 0) return (int)i;
    return -1;
}

/* NULL, or what is wrong with the line. */
static const char *parse_line(struct key_list *list, struct span line)
{
    char id[KEYRING_ID_SIZE] = {0};
    if (line.length != LINE_LENGTH || line.data[ID_LENGTH] != ' ')
        return "must be 8 hex characters, a space and 64 hex characters";
    memcpy(id, line.data, ID_LENGTH);
    if (!is_lower_hex(id, ID_LENGTH)) return "the id must be 8 lower-case hex characters";
    if (find_key(list, id) >= 0) return "this id stands on an earlier line";
    if (list->count == KEYRING_KEYS_MAX) return "there are more than 16 keys";
    struct span hex = {line.data + ID_LENGTH + 1, line.length - ID_LENGTH - 1};
    if (!hex_decode(list->keys[list->count], KEYRING_KEY_SIZE, hex))
        return "the key must be 64 hex characters";
    memcpy(list->ids[list->count++], id, sizeof id);
    return NULL;
}

static enum err parse_file(struct key_list *list, const char *path, struct span text, char *error)
{
    for (unsigned number = 1; text.length; number++) {
        const char *newline = memchr(text.data, '\n', text.length);
        struct span line = {text.data, newline ? (size_t)(newline - text.data) : text.length};
        size_t skip = line.length + (newline ? 1 : 0);
        text = (struct span){text.data + skip, text.length - skip};
        if (!line.length || line.data[0] == '#') continue;
        const char *wrong = parse_line(list, line);
        if (wrong) {
            snprintf(error, KEYRING_ERROR_SIZE, "%s line %u: %s", path, number, wrong);
            return ERR_INVALID;
        }
    }
    if (list->count) return ERR_OK;
    snprintf(error, KEYRING_ERROR_SIZE, "%s has no key", path);
    return ERR_INVALID;
}

static enum err load_list(struct key_list *list, const char *path, char *error)
{
    char *text = sodium_malloc(FILE_MAX + 1);
    size_t length;
    if (!text) {
        snprintf(error, KEYRING_ERROR_SIZE, "no memory that can be locked for %s", path);
        return ERR_NO_MEMORY;
    }
    enum err result = read_file(path, text, &length, error);
    if (result == ERR_OK) result = parse_file(list, path, span_of(text, length), error);
    sodium_free(text);
    return result;
}

enum err keyring_load(struct keyring **out, const char *master_path, const char *pepper_path,
                      char error[KEYRING_ERROR_SIZE])
{
    *out = NULL;
    error[0] = '\0';
    struct keyring *keyring = sodium_init() < 0 ? NULL : sodium_malloc(sizeof *keyring);
    if (!keyring) {
        snprintf(error, KEYRING_ERROR_SIZE, "no memory that can be locked for keys");
        return ERR_NO_MEMORY;
    }
    sodium_memzero(keyring, sizeof *keyring);
    enum err result = load_list(&keyring->master, master_path, error);
    if (result == ERR_OK) result = load_list(&keyring->pepper, pepper_path, error);
    if (result != ERR_OK) {
        keyring_free(&keyring);
        return result;
    }
    sodium_mprotect_readonly(keyring);
    *out = keyring;
    return ERR_OK;
}

void keyring_free(struct keyring **keyring)
{
    if (*keyring) sodium_free(*keyring); /* wipes */
    *keyring = NULL;
}

/* ---- making ---- */

/* One line with a new random key, in guarded memory of LINE_LENGTH + 2 bytes. */
static void make_line(char *line)
{
    unsigned char id[ID_LENGTH / 2], key[KEYRING_KEY_SIZE];
    randombytes_buf(id, sizeof id);
    randombytes_buf(key, sizeof key);
    hex_encode(line, id, sizeof id);
    line[ID_LENGTH] = ' ';
    hex_encode(line + ID_LENGTH + 1, key, sizeof key);
    memcpy(line + LINE_LENGTH, "\n", 2);
    sodium_memzero(key, sizeof key);
}

static bool write_all(int fd, const char *text, size_t length)
{
    while (length) {
        ssize_t done = write(fd, text, length);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        text += done;
        length -= (size_t)done;
    }
    return true;
}

static bool sync_directory_of(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(copy);
    if (fd < 0) return false;
    bool synced = fsync(fd) == 0;
    close(fd);
    return synced;
}

static bool fill_file(int fd)
{
    char *line = sodium_malloc(LINE_LENGTH + 2);
    if (!line) return false;
    make_line(line);
    bool written = write_all(fd, line, LINE_LENGTH + 1) && fsync(fd) == 0;
    sodium_free(line);
    return written;
}

static enum err create_file(const char *path, char *error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        int reason = errno;
        snprintf(error, KEYRING_ERROR_SIZE, "cannot make %s: %s", path, strerror(reason));
        return reason == EEXIST ? ERR_EXISTS : ERR_IO;
    }
    bool written = fchmod(fd, 0600) == 0 && fill_file(fd);
    if (close(fd) == 0 && written && sync_directory_of(path)) return ERR_OK;
    snprintf(error, KEYRING_ERROR_SIZE, "cannot write %s: %s", path, strerror(errno));
    unlink(path);
    return ERR_IO;
}

enum err keyring_create(const char *master_path, const char *pepper_path,
                        char error[KEYRING_ERROR_SIZE])
{
    error[0] = '\0';
    if (sodium_init() < 0) {
        snprintf(error, KEYRING_ERROR_SIZE, "no source of random numbers");
        return ERR_IO;
    }
    enum err result = create_file(master_path, error);
    if (result != ERR_OK) return result;
    result = create_file(pepper_path, error);
    if (result != ERR_OK) unlink(master_path);
    return result;
}

/* ---- using ---- */

static const struct key_list *list_of(const struct keyring *keyring, const char *kind)
{
    if (strcmp(kind, KEYRING_MASTER) == 0) return &keyring->master;
    if (strcmp(kind, KEYRING_PEPPER) == 0) return &keyring->pepper;
    return NULL;
}

const char *keyring_master_id(const struct keyring *keyring)
{
    return keyring->master.ids[0];
}

const char *keyring_pepper_id(const struct keyring *keyring)
{
    return keyring->pepper.ids[0];
}

unsigned keyring_count(const struct keyring *keyring, const char *kind)
{
    const struct key_list *list = list_of(keyring, kind);
    return list ? list->count : 0;
}

const char *keyring_id_at(const struct keyring *keyring, const char *kind, unsigned at)
{
    const struct key_list *list = list_of(keyring, kind);
    return list && at < list->count ? list->ids[at] : NULL;
}

const unsigned char *keyring_key(const struct keyring *keyring, const char *kind, const char *id)
{
    const struct key_list *list = list_of(keyring, kind);
    int at = list ? find_key(list, id) : -1;
    return at < 0 ? NULL : list->keys[at];
}

enum err keyring_check_value(const struct keyring *keyring, const char *kind, const char *id,
                             unsigned char out[KEYRING_CHECK_SIZE])
{
    static const char constant[] = "keymeter check value";
    const unsigned char *key = keyring_key(keyring, kind, id);
    if (!key) return ERR_NOT_FOUND;
    crypto_generichash(out, KEYRING_CHECK_SIZE, (const unsigned char *)constant,
                       sizeof constant - 1, key, KEYRING_KEY_SIZE);
    return ERR_OK;
}

void keyring_derive(const struct keyring *keyring, const char *purpose, struct span extra,
                    unsigned char out[KEYRING_KEY_SIZE])
{
    keyring_derive_under(keyring->master.keys[0], purpose, extra, out);
}

/* BLAKE2b's personalisation keeps the purposes apart, and all of them apart from plain hashes. */
void keyring_derive_under(const unsigned char *key, const char *purpose, struct span extra,
                          unsigned char out[KEYRING_KEY_SIZE])
{
    unsigned char personal[crypto_generichash_blake2b_PERSONALBYTES] = "keymeter";
    memcpy(personal + 8, purpose, strnlen(purpose, 8));
    crypto_generichash_blake2b_salt_personal(out, KEYRING_KEY_SIZE,
                                             (const unsigned char *)extra.data, extra.length, key,
                                             KEYRING_KEY_SIZE, NULL, personal);
}
