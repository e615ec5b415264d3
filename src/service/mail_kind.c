/* The tables of what mails may say. An example is a text's value; of a time it is RFC 3339, of a
 * duration seconds, of a flag "yes" or "no". */
#include "service/mail_kind.h"

#include <string.h>

#define TEXT(id, text, sample)                                                                     \
    {                                                                                              \
        .name = (id), .help = (text), .example = (sample)                                          \
    }
#define OPTIONAL(id, text, sample)                                                                 \
    {                                                                                              \
        .name = (id), .optional = true, .help = (text), .example = (sample)                        \
    }
#define FLAG(id, text, sample)                                                                     \
    {                                                                                              \
        .name = (id), .type = TEMPLATE_FLAG, .optional = true, .help = (text), .example = (sample) \
    }
#define GROUP(id, of, may_miss, text, sample)                                                      \
    {                                                                                              \
        .name = (id), .type = TEMPLATE_GROUP, .optional = (may_miss), .members = (of),             \
        .help = (text), .example = (sample)                                                        \
    }
#define TIME(id, text, sample)          GROUP(id, mail_time_members, false, text, sample)
#define OPTIONAL_TIME(id, text, sample) GROUP(id, mail_time_members, true, text, sample)
#define DURATION(id, text, sample)      GROUP(id, mail_duration_members, false, text, sample)
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

const struct template_variable mail_time_members[] = {
    TEXT("text", "date and time in English, UTC: `3 March 2026 at 14:05 UTC`", NULL),
    TEXT("date", "the date in English: `3 March 2026`", NULL),
    TEXT("time", "hour and minute, UTC: `14:05`", NULL),
    TEXT("iso", "RFC 3339: `2026-03-03T14:05:00Z`", NULL),
    TEXT("year", "`2026`", NULL),
    TEXT("month", "`3`", NULL),
    TEXT("day", "`3`", NULL),
    END,
};

const struct template_variable mail_duration_members[] = {
    TEXT("text", "in English: `7 days`, `24 hours`", NULL),
    TEXT("days", "whole days, rounded up: `7`", NULL),
    TEXT("hours", "whole hours, rounded up: `168`", NULL),
    END,
};

#define PRODUCT TEXT("product", "what your product is called", "Example")

const struct template_variable mail_subject_variables[] = {PRODUCT, END};

const struct template_variable mail_common_variables[] = {
    PRODUCT,
    TEXT("client_id", "the customer's id in your own system (`external_id`)", "acme-42"),
    OPTIONAL("customer_name", "the customer's name", "Acme Ltd"),
    OPTIONAL("support_email", "where customers find help", "support@api.example"),
    OPTIONAL("documentation_url", "where your API is documented", "https://api.example/docs"),
    END,
};

/* Which key it is about. Where a key is replaced, the key that the customer has used so far. */
#define KEY_ID                                                                                     \
    OPTIONAL("key_title", "the key's title", "Billing export"),                                    \
        TEXT("key_id", "the key's id, which rotation keeps", "key_01jn8p0v5k2aa"),                 \
        TEXT("environment", "`live` or `test`", "live")
#define KEY_START                                                                                  \
    TEXT("key_start", "the first characters, and `...`, of the secret used so far", "km_live_ab...")

#define OPTIONAL_KEY_START                                                                         \
    OPTIONAL("key_start",                                                                          \
             "the first characters, and `...`, of the secret used so far; missing: it had none",   \
             "km_live_ab...")

/* How a new secret reaches the customer. Neither: it was given elsewhere, in the API's answer. */
#define CLAIM_END OPTIONAL_TIME("claim_ends_at", "when the link ends", "2026-03-17T14:05:00Z")
#define DELIVERY                                                                                   \
    OPTIONAL("secret", "the new secret, only in mail that is encrypted to the customer",           \
             "km_live_an-example-that-opens-nothing"),                                             \
        OPTIONAL("claim_url", "instead of `secret`: a link that shows the new secret once",        \
                 "https://keys.api.example/claim#an-example"),                                     \
        CLAIM_END

#define OLD_END "when the old secret stops working"
#define LAST_USED                                                                                  \
    OPTIONAL_TIME("last_used_at", "the newest call with the key", "2026-03-02T09:30:00Z")

static const struct template_variable key_issued[] = {
    KEY_ID,
    OPTIONAL("key_start", "the key's first characters and `...`; missing with `claim_url`",
             "km_live_ab..."),
    DELIVERY,
    TEXT("tier", "the customer's tier", "pro"),
    OPTIONAL("monthly_limit", "calls a month, with commas; missing: without limit", "100,000"),
    OPTIONAL("endpoint", "your API's address", "https://api.example/v1"),
    TEXT("header", "the request header that carries the key", "X-API-Key"),
    OPTIONAL("scheme", "what stands before the key in that header: `Bearer`", NULL),
    END,
};

static const struct template_variable rotation_upcoming[] = {
    KEY_ID,
    KEY_START,
    TIME("rotates_at", "when the secret is replaced", "2026-03-10T14:05:00Z"),
    LAST_USED,
    DURATION("grace", "how long the old secret works after the first call with the new one",
             "86400"),
    DURATION("overlap", "how long the old secret works at most", "604800"),
    FLAG("encrypted", "the customer has a key or certificate for encrypted mail", "no"),
    END,
};

static const struct template_variable rotated[] = {
    KEY_ID,
    KEY_START,
    DELIVERY,
    OPTIONAL_TIME("old_ends_at", OLD_END ", if that is certain already", NULL),
    DURATION("grace",
             "where `old_ends_at` is missing: how long the old secret works after the first call "
             "with the new one",
             "86400"),
    DURATION("overlap", "where `old_ends_at` is missing: how long it works at most", "604800"),
    END,
};

static const struct template_variable claim_reminder[] = {
    KEY_ID,
    OPTIONAL_KEY_START,
    TEXT("claim_url", "a link that shows the new secret once",
         "https://keys.api.example/claim#an-example"),
    CLAIM_END,
    TIME("issued_at", "since when the new secret waits", "2026-03-10T14:05:00Z"),
    OPTIONAL_TIME("old_ends_at", OLD_END "; missing: not before the new one is claimed",
                  "2026-04-09T14:05:00Z"),
    END,
};

static const struct template_variable network_members[] = {
    TEXT("network", "an address, or a network as CIDR", "198.51.100.0/24"),
    TIME("last_used_at", "the newest call from there", "2026-03-12T08:15:00Z"),
    END,
};

static const struct template_variable old_secret_in_use[] = {
    KEY_ID,
    KEY_START,
    TEXT("new_key_start", "the new secret's first characters and `...`", "km_live_xy..."),
    TIME("old_ends_at", OLD_END, "2026-03-17T14:05:00Z"),
    {.name = "networks",
     .type = TEMPLATE_LIST,
     .members = network_members,
     .help = "networks that still use the old secret"},
    OPTIONAL("more_networks", "how many more there are", NULL),
    END,
};

static const struct template_variable retired[] = {
    KEY_ID,
    KEY_START,
    OPTIONAL("new_key_start", "the new secret's first characters and `...`; missing: never claimed",
             "km_live_xy..."),
    TIME("retired_at", "when the old secret stopped working", "2026-03-17T14:05:00Z"),
    FLAG("new_in_use", "the new secret has been used", "yes"),
    END,
};

static const struct template_variable expiring[] = {
    KEY_ID,
    OPTIONAL_KEY_START,
    TIME("expires_at", "when the key stops working", "2026-03-31T00:00:00Z"),
    LAST_USED,
    END,
};

static const struct template_variable regenerated[] = {
    KEY_ID,
    OPTIONAL_KEY_START,
    DELIVERY,
    TIME("regenerated_at", "when the earlier secrets stopped working", "2026-03-03T14:05:00Z"),
    END,
};

static const struct template_variable revoked[] = {
    KEY_ID,
    OPTIONAL_KEY_START,
    TIME("revoked_at", "when the key stopped working", "2026-03-03T14:05:00Z"),
    END,
};

static const struct template_variable contact_changed[] = {
    TIME("changed_at", "when it was changed", "2026-03-03T14:05:00Z"),
    FLAG("email_changed", "the e-mail address", "yes"),
    FLAG("openpgp_changed", "the OpenPGP key: set, replaced or removed", "yes"),
    FLAG("smime_changed", "the S/MIME certificate: set, replaced or removed", "no"),
    END,
};

#define QUOTA(used, remaining)                                                                     \
    TEXT("tier", "the customer's tier", "pro"),                                                    \
        TEXT("used", "calls used in this period, with commas", used),                              \
        TEXT("limit", "calls in a period, with commas", "100,000"),                                \
        TEXT("remaining", "calls left, with commas", remaining),                                   \
        TIME("period_start", "when the period began", "2026-03-01T00:00:00Z"),                     \
        TIME("resets_at", "when the next period begins", "2026-04-01T00:00:00Z"),                  \
        FLAG("blocked", "calls beyond the limit are refused; otherwise they are counted", "yes")

static const struct template_variable quota_80[] = {QUOTA("80,000", "20,000"), END};
static const struct template_variable quota_100[] = {QUOTA("100,000", "0"), END};

static const struct template_variable encryption_key_expiring[] = {
    FLAG("openpgp", "it is an OpenPGP key", "yes"),
    FLAG("smime", "it is an S/MIME certificate", "no"),
    OPTIONAL("fingerprint", "its fingerprint", "1234 5678 9ABC DEF0 1234 5678 9ABC DEF0 1234 5678"),
    TIME("expires_at", "from when on nothing can be encrypted to it", "2026-03-31T12:00:00Z"),
    END,
};

#define PAID_TIER TEXT("tier", "the tier that is paid for", "pro")

static const struct template_variable payment_failed[] = {
    PAID_TIER,
    TIME("ends_at", "when the tier ends, unless it is paid by then", "2026-03-10T14:05:00Z"),
    END,
};

static const struct template_variable suspended[] = {
    PAID_TIER,
    TIME("suspended_at", "from when on calls are refused", "2026-03-10T14:05:00Z"),
    END,
};

static const struct template_variable payment_restored[] = {
    PAID_TIER,
    TIME("restored_at", "from when on calls work as before", "2026-03-12T09:00:00Z"),
    END,
};

static const struct template_variable payment_ending[] = {
    PAID_TIER,
    TIME("ends_at", "when the tier ends", "2026-03-31T00:00:00Z"),
    END,
};

static const struct template_variable suspended_key_members[] = {
    OPTIONAL("key_title", "the key's title", "Billing export"),
    TEXT("key_id", "the key's id", "key_01jn8p0v5k2aa"),
    END,
};

static const struct template_variable downgraded[] = {
    TEXT("tier", "the tier from now on", "free"),
    TEXT("former_tier", "the tier so far", "pro"),
    TIME("downgraded_at", "since when", "2026-03-10T14:05:00Z"),
    {.name = "keys",
     .type = TEMPLATE_LIST,
     .members = suspended_key_members,
     .help = "keys beyond what the tier allows: suspended, the newest ones"},
    OPTIONAL("more_keys", "how many more there are", NULL),
    END,
};

static const struct {
    const char *name, *help;
    const struct template_variable *variables;
} kinds[] = {
    [MAIL_KEY_ISSUED] = {"key_issued", "A customer gets a key.", key_issued},
    [MAIL_ROTATION_UPCOMING] = {"rotation_upcoming",
                                "A key's secret will be replaced in some days.", rotation_upcoming},
    [MAIL_ROTATED] = {"rotated", "A key has a new secret, the old one works on for a while.",
                      rotated},
    [MAIL_CLAIM_REMINDER] = {"claim_reminder", "A new secret waits and has not been claimed.",
                             claim_reminder},
    [MAIL_OLD_SECRET_IN_USE] = {"old_secret_in_use",
                                "A replaced secret is still in use and ends soon.",
                                old_secret_in_use},
    [MAIL_RETIRED] = {"retired", "A replaced secret has stopped working.", retired},
    [MAIL_EXPIRING] = {"expiring", "A key with an end date comes near it.", expiring},
    [MAIL_REGENERATED] = {"regenerated", "A key's secret was replaced, the old one died at once.",
                          regenerated},
    [MAIL_REVOKED] = {"revoked", "A key was revoked.", revoked},
    [MAIL_CONTACT_CHANGED] = {"contact_changed",
                              "E-mail address or encryption key were changed; goes to the address "
                              "on file before.",
                              contact_changed},
    [MAIL_QUOTA_80] = {"quota_80", "80 % of a period's calls are used.", quota_80},
    [MAIL_QUOTA_100] = {"quota_100", "All of a period's calls are used.", quota_100},
    [MAIL_ENCRYPTION_KEY_EXPIRING] = {"encryption_key_expiring",
                                      "The customer's key for encrypted mail expires soon.",
                                      encryption_key_expiring},
    [MAIL_PAYMENT_FAILED] = {"payment_failed", "A payment failed; the tier stays for a while.",
                             payment_failed},
    [MAIL_SUSPENDED] = {"suspended", "The tier ended unpaid; all keys are refused.", suspended},
    [MAIL_DOWNGRADED] = {"downgraded",
                         "A smaller tier counts: unpaid, to the free one, or with keys beyond it.",
                         downgraded},
    [MAIL_PAYMENT_RESTORED] = {"payment_restored", "Paid again after one of these.",
                               payment_restored},
    [MAIL_PAYMENT_ENDING] = {"payment_ending",
                             "A tier that was approved or canceled ends in 14 days, and in 3.",
                             payment_ending},
};

_Static_assert(COUNT_OF(kinds) == MAIL_KIND_COUNT, "each kind has its line");

const char *mail_kind_name(enum mail_kind kind)
{
    return kinds[kind].name;
}

const char *mail_kind_help(enum mail_kind kind)
{
    return kinds[kind].help;
}

const struct template_variable *mail_kind_variables(enum mail_kind kind)
{
    return kinds[kind].variables;
}

bool mail_kind_parse(struct span name, enum mail_kind *kind)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (!span_is(name, kinds[i].name)) continue;
        *kind = (enum mail_kind)i;
        return true;
    }
    return false;
}
