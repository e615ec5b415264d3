/* The types of settings: what each accepts, and how it is stored in struct settings. Called by
 * settings.c for every line and override; a value that is refused leaves the setting as it was. */
#include "conf/settings_value.h"

#include "base/codec.h"
#include "base/mailbox.h"
#include "base/plain_text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum {
    ADDRESS_MAX = 107,
    NAME_MAX_LENGTH = 64,
    LOGIN_MAX_LENGTH = 254,
    TITLE_MAX_LENGTH = 100,
    HEADER_MAX_LENGTH = 100,
    TEXT_MAX = 1024,
};

/* A whole decimal number, at most UINT_MAX; *rest is what follows it. */
static bool parse_digits(const char *text, unsigned long *value, const char **rest)
{
    if (!isdigit((unsigned char)text[0]) || strspn(text, "0123456789") > 10) return false;
    char *end = NULL;
    *value = strtoul(text, &end, 10);
    *rest = end;
    return true;
}

static bool parse_number(const char *text, unsigned long *value)
{
    const char *rest;
    return parse_digits(text, value, &rest) && *rest == '\0';
}

static bool parse_duration(const char *text, unsigned long *value_ms)
{
    static const struct {
        const char *unit;
        unsigned long factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    unsigned long number;
    const char *rest;
    if (!parse_digits(text, &number, &rest)) return false;
    while (*rest == ' ')
        rest++;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (strcmp(rest, units[i].unit) != 0) continue;
        *value_ms = number * units[i].factor;
        return true;
    }
    return false;
}

static bool is_printable(const char *text, size_t most)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~') return false;
    return length <= most;
}

/* IP:port or [IPv6]:port. */
static bool is_ip_and_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    unsigned long port;
    if (!colon || !parse_number(colon + 1, &port) || port > 65535) return false;
    char host[64];
    size_t length = (size_t)(colon - text);
    if (length == 0 || length >= sizeof host) return false;
    memcpy(host, text, length);
    host[length] = '\0';
    unsigned char bytes[16];
    if (host[0] != '[') return inet_pton(AF_INET, host, bytes) == 1;
    if (host[length - 1] != ']') return false;
    host[length - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, bytes) == 1;
}

static bool is_address(const char *text)
{
    if (strncmp(text, "unix:", 5) == 0) text += 5;
    if (text[0] == '/') return strlen(text) <= ADDRESS_MAX;
    return is_ip_and_port(text);
}

/* "name" or "name:port", or several between commas. */
static bool is_hosts(const char *text)
{
    while (text) {
        const char *comma = strchr(text, ',');
        size_t length = comma ? (size_t)(comma - text) : strlen(text);
        char host[128];
        if (length == 0 || length >= sizeof host) return false;
        memcpy(host, text, length);
        host[length] = '\0';
        const char *colon = strrchr(host, ':');
        unsigned long port = 0;
        if (colon && (!parse_number(colon + 1, &port) || port == 0 || port > 65535)) return false;
        if (strcspn(host, " /") != length || host[0] == ':') return false;
        text = comma ? comma + 1 : NULL;
    }
    return true;
}

/* https, or http to loopback: an address in clear text would give the customer's away. */
static bool is_url(const char *text)
{
    static const char *const starts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    if (strcspn(text, " \"<>") != strlen(text)) return false;
    /* No user and no password: http://127.0.0.1:80@example.com/ leads to example.com, and a
     * password would stand where settings are shown. */
    const char *host = strstr(text, "://");
    if (!host || host[3 + strcspn(host + 3, "/?#@")] == '@') return false;
    if (strncmp(text, "https://", 8) == 0) return text[8] != '\0' && text[8] != '/';
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        size_t length = strlen(starts[i]);
        if (strncmp(text, starts[i], length) != 0) continue;
        return text[length] == '\0' || text[length] == ':' || text[length] == '/';
    }
    return false;
}

static bool is_base_url(const char *text)
{
    return is_url(text) && strcspn(text, "?#") == strlen(text) && text[strlen(text) - 1] != '/';
}

/* What follows a host: nothing, ":port", and "/name", by which the client greets. */
static bool is_port_and_name(const char *text)
{
    char digits[8];
    unsigned long port = 0;
    if (*text == ':') {
        size_t length = strcspn(++text, "/");
        if (length >= sizeof digits) return false;
        memcpy(digits, text, length);
        digits[length] = '\0';
        if (!parse_number(digits, &port) || port == 0 || port > 65535) return false;
        text += length;
    }
    if (*text == '/') text += 1 + strcspn(text + 1, "/?#@%&;:<>\" \\");
    return *text == '\0';
}

/* No user and no password: those have settings of their own. */
static bool is_mail_url(const char *text)
{
    if (strncmp(text, "maildir:", 8) == 0) return text[8] == '/' && text[9] != '\0';
    if (strncmp(text, "smtps://", 8) == 0)
        text += 8;
    else if (strncmp(text, "smtp://", 7) == 0)
        text += 7;
    else
        return false;
    if (!is_printable(text, 320)) return false;
    if (*text == '[') {
        char host[48];
        unsigned char bytes[16];
        size_t length = strcspn(++text, "]");
        if (text[length] != ']' || length >= sizeof host) return false;
        memcpy(host, text, length);
        host[length] = '\0';
        return inet_pton(AF_INET6, host, bytes) == 1 && is_port_and_name(text + length + 1);
    }
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
    return length > 0 && length <= 253 && is_port_and_name(text + length);
}

static bool is_mailbox(const char *text)
{
    struct mailbox mailbox;
    return mailbox_parse(span_text(text), &mailbox);
}

/* Stands in subjects and on pages. */
static bool is_title(const char *text)
{
    struct span span = span_text(text);
    if (!text_is_utf8(span)) return false;
    struct plain_text seen = plain_text_check(span, false);
    return seen.wrong_at == 0 && seen.length <= TITLE_MAX_LENGTH;
}

/* A name, and the scheme behind a colon and a blank. Fewer characters than HTTP allows: it stands
 * between quotes in a shell's command. */
static bool is_header(const char *text)
{
    static const char token[] = "-_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t name = strspn(text, token);
    if (name == 0 || strlen(text) > HEADER_MAX_LENGTH) return false;
    if (text[name] == '\0') return true;
    if (strncmp(text + name, ": ", 2) != 0) return false;
    text += name + 2;
    return text[0] != '\0' && text[strspn(text, token)] == '\0';
}

static bool is_network(char *text)
{
    unsigned char bytes[16];
    unsigned long prefix = 0;
    char *slash = strchr(text, '/');
    if (slash) *slash = '\0';
    if (slash && !parse_number(slash + 1, &prefix)) return false;
    if (inet_pton(AF_INET, text, bytes) == 1) return prefix <= 32;
    return inet_pton(AF_INET6, text, bytes) == 1 && prefix <= 128;
}

static bool is_network_list(const char *text)
{
    char copy[TEXT_MAX + 1];
    char *left = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, ", ", &left); word; word = strtok_r(NULL, ", ", &left))
        if (!is_network(word)) return false;
    return true;
}

static bool text_is_allowed(enum setting_type type, const char *text)
{
    if (strlen(text) > TEXT_MAX) return false;
    if (text[0] == '\0') return type != SETTING_HEADER && type != SETTING_LANGUAGE;
    switch (type) {
    case SETTING_TITLE:
        return is_title(text);
    case SETTING_HEADER:
        return is_header(text);
    case SETTING_LANGUAGE:
        return language_tag_is_good(span_text(text));
    case SETTING_COLOUR:
        return text[0] == '#' && strlen(text) == 7 &&
               strspn(text + 1, "0123456789abcdefABCDEF") == 6;
    case SETTING_NAME:
        return is_printable(text, NAME_MAX_LENGTH);
    case SETTING_ADDRESS:
        return is_address(text);
    case SETTING_HOSTS:
        return is_hosts(text);
    case SETTING_PATH:
        return text[0] == '/';
    case SETTING_URL:
        return is_url(text);
    case SETTING_BASE_URL:
        return is_base_url(text);
    case SETTING_MAIL_URL:
        return is_mail_url(text);
    case SETTING_MAILBOX:
        return is_mailbox(text);
    case SETTING_LOGIN:
        return is_printable(text, LOGIN_MAX_LENGTH);
    case SETTING_NETWORKS:
        return is_network_list(text);
    case SETTING_BOOL:
    case SETTING_NUMBER:
    case SETTING_DURATION:
    case SETTING_CHOICE:
        break;
    }
    return false;
}

static bool parse_choice(const struct setting *setting, const char *text, unsigned *value)
{
    for (unsigned i = 0; setting->choices[i]; i++) {
        if (strcmp(setting->choices[i], text) != 0) continue;
        *value = i;
        return true;
    }
    return false;
}

static bool parse_bool(const char *text, bool *value)
{
    *value = strcmp(text, "yes") == 0;
    return *value || strcmp(text, "no") == 0;
}

static void *place_of(struct settings *settings, const struct setting *setting)
{
    return (char *)settings + setting->offset;
}

static enum err store_text(struct settings *settings, const struct setting *setting,
                           const char *text)
{
    if (!text_is_allowed(setting->type, text)) return ERR_INVALID;
    char *copy = arena_copy(&settings->memory, span_text(text));
    if (!copy) return ERR_NO_MEMORY;
    memcpy(place_of(settings, setting), &copy, sizeof copy);
    return ERR_OK;
}

enum err setting_store(struct settings *settings, const struct setting *setting, const char *text)
{
    unsigned long number = 0;
    unsigned value = 0;
    bool flag = false;
    switch (setting->type) {
    case SETTING_BOOL:
        if (!parse_bool(text, &flag)) return ERR_INVALID;
        memcpy(place_of(settings, setting), &flag, sizeof flag);
        return ERR_OK;
    case SETTING_CHOICE:
        if (!parse_choice(setting, text, &value)) return ERR_INVALID;
        memcpy(place_of(settings, setting), &value, sizeof value);
        return ERR_OK;
    case SETTING_NUMBER:
    case SETTING_DURATION:
        if (setting->type == SETTING_NUMBER ? !parse_number(text, &number)
                                            : !parse_duration(text, &number))
            return ERR_INVALID;
        if (number < setting->min || number > setting->max) return ERR_INVALID;
        value = (unsigned)number;
        memcpy(place_of(settings, setting), &value, sizeof value);
        return ERR_OK;
    case SETTING_TITLE:
    case SETTING_HEADER:
    case SETTING_LANGUAGE:
    case SETTING_COLOUR:
    case SETTING_NAME:
    case SETTING_ADDRESS:
    case SETTING_HOSTS:
    case SETTING_PATH:
    case SETTING_URL:
    case SETTING_BASE_URL:
    case SETTING_MAIL_URL:
    case SETTING_MAILBOX:
    case SETTING_LOGIN:
    case SETTING_NETWORKS:
        return store_text(settings, setting, text);
    }
    return ERR_INVALID;
}

void setting_allowed(const struct setting *setting, char out[192])
{
    static const char *const texts[] = {
        [SETTING_TITLE] = "at most 100 printable characters",
        [SETTING_HEADER] = "the name of a header such as X-API-Key, or Authorization: Bearer",
        [SETTING_LANGUAGE] = "a language tag such as de or pt-BR",
        [SETTING_COLOUR] = "a colour such as #1f5fd6",
        [SETTING_NAME] = "at most 64 printable ASCII characters without spaces",
        [SETTING_ADDRESS] = "IP:port, [IPv6]:port, unix:/path or nothing",
        [SETTING_HOSTS] = "name, name:port, several of them between commas, or nothing",
        [SETTING_PATH] = "an absolute path or nothing",
        [SETTING_URL] =
            "an https URL, or http to 127.0.0.1, [::1] or localhost, with no user in it",
        [SETTING_BASE_URL] =
            "an https URL without a slash at its end, or such an http one to a loopback address",
        [SETTING_MAIL_URL] =
            "smtps://host[:port], smtp://host[:port] (STARTTLS), maildir:/path; no user in it",
        [SETTING_MAILBOX] = "name@example.com, Name <name@example.com> or nothing, in ASCII",
        [SETTING_LOGIN] = "at most 254 printable ASCII characters without spaces",
        [SETTING_NETWORKS] = "networks such as 10.0.0.0/8, separated by commas",
        [SETTING_BOOL] = "yes or no",
        [SETTING_CHOICE] = "one of:",
    };
    if (setting->type == SETTING_NUMBER) {
        snprintf(out, 192, "a whole number from %u to %u", setting->min, setting->max);
    } else if (setting->type == SETTING_DURATION) {
        snprintf(out, 192, "a time with its unit (ms, s, m, h) from %ums to %ums", setting->min,
                 setting->max);
    } else {
        snprintf(out, 192, "%s", texts[setting->type]);
        for (unsigned i = 0; setting->type == SETTING_CHOICE && setting->choices[i]; i++) {
            size_t used = strlen(out);
            snprintf(out + used, 192 - used, " %s", setting->choices[i]);
        }
    }
}

void setting_write(const struct settings *settings, const struct setting *setting, FILE *out)
{
    const char *place = (const char *)settings + setting->offset;
    unsigned value;
    bool flag;
    const char *text;
    switch (setting->type) {
    case SETTING_BOOL:
        memcpy(&flag, place, sizeof flag);
        fputs(flag ? "yes" : "no", out);
        return;
    case SETTING_CHOICE:
        memcpy(&value, place, sizeof value);
        fputs(setting->choices[value], out);
        return;
    case SETTING_NUMBER:
    case SETTING_DURATION:
        memcpy(&value, place, sizeof value);
        fprintf(out, "%u%s", value, setting->type == SETTING_DURATION ? "ms" : "");
        return;
    case SETTING_TITLE:
    case SETTING_HEADER:
    case SETTING_LANGUAGE:
    case SETTING_COLOUR:
    case SETTING_NAME:
    case SETTING_ADDRESS:
    case SETTING_HOSTS:
    case SETTING_PATH:
    case SETTING_URL:
    case SETTING_BASE_URL:
    case SETTING_MAIL_URL:
    case SETTING_MAILBOX:
    case SETTING_LOGIN:
    case SETTING_NETWORKS:
        memcpy(&text, place, sizeof text);
        fputs(text, out);
        return;
    }
}
