/* The table of all settings, for conf/ itself. */
#ifndef KEYMETER_CONF_SETTINGS_TABLE_H
#define KEYMETER_CONF_SETTINGS_TABLE_H

#include <stddef.h>

enum setting_type {
    SETTING_TITLE,    /* 1 to 100 characters that people can read, or empty */
    SETTING_HEADER,   /* a header's name, or "Name: word" */
    SETTING_LANGUAGE, /* a tag as "de" or "de-AT" */
    SETTING_COLOUR,   /* #rrggbb, or empty */
    SETTING_NAME,     /* 1 to 64 printable ASCII characters without spaces, or empty */
    SETTING_ADDRESS,  /* IP:port, [IPv6]:port, unix:/path, /path, or empty */
    SETTING_HOSTS,    /* name or name:port, several between commas, or empty */
    SETTING_PATH,     /* absolute, or empty */
    SETTING_URL,      /* https, or http to loopback, or empty */
    SETTING_BASE_URL, /* the same without query, fragment and a slash at the end */
    SETTING_MAIL_URL, /* smtps://, smtp:// or maildir:/path, or empty */
    SETTING_MAILBOX,  /* address or Name <address>, or empty */
    SETTING_LOGIN,    /* at most 254 printable ASCII characters without spaces, or empty */
    SETTING_NETWORKS, /* CIDR networks between commas or spaces, or empty */
    SETTING_BOOL,     /* yes or no */
    SETTING_NUMBER,   /* min … max */
    SETTING_DURATION, /* "250ms", "2s", "5m"; min … max milliseconds */
    SETTING_CHOICE,   /* one of `choices`, stored as its index */
};

struct setting {
    const char *section, *key;
    enum setting_type type;
    const char *initial; /* as in a file */
    unsigned min, max;
    const char *const *choices; /* NULL-terminated */
    const char *help;
    size_t offset; /* in struct settings */
};

extern const struct setting settings_table[];
extern const size_t settings_table_count;

enum { SETTINGS_TABLE_MAX = 96 };

#endif
