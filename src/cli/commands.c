/* The one list of verbs: what main.c finds and asks, help.c explains and completion.c offers. To
 * add one: a line here, and its options as fields. Verbs of a word stand together. */
#include "cli/commands.h"

#include "base/compiler.h"

#define COMMAND(word, verb, method, path, show, columns, fields, help)                             \
    {                                                                                              \
        {word, verb}, method, path, false, show, columns, fields, help                             \
    }
/* The same, of a key that is read from standard input. */
#define READER(word, verb, method, path, show, columns, fields, help)                              \
    {                                                                                              \
        {word, verb}, method, path, true, show, columns, fields, help                              \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, FIELD_TEXT, false                                                              \
    }
#define PAGES                                                                                      \
    {"limit", "limit", FIELD_TEXT, false},                                                         \
    {                                                                                              \
        "cursor", "cursor", FIELD_TEXT, false                                                      \
    }
/* What a key or a customer has beside what makes it. */
#define KEY_SETTINGS                                                                               \
    {"permissions", "permissions", FIELD_LIST, false},                                             \
        {"networks", "allowed_networks", FIELD_LIST, false},                                       \
        {"expires-at", "expires_at", FIELD_TEXT, false},                                           \
        {"monthly-cap", "monthly_cap", FIELD_NUMBER, false},                                       \
        {"rotation", "rotation", FIELD_TEXT, false},                                               \
        {"rate-limits", "rate_limits", FIELD_JSON, false},                                         \
    {                                                                                              \
        "metadata", "metadata", FIELD_JSON, false                                                  \
    }
#define CUSTOMER_SETTINGS                                                                          \
    {"name", "name", FIELD_TEXT, false}, {"language", "language", FIELD_TEXT, false},              \
        {"openpgp-key-file", "openpgp_key", FIELD_FILE, false},                                    \
        {"smime-certificate-file", "smime_certificate", FIELD_FILE, false},                        \
        {"smime-cipher", "smime_cipher", FIELD_TEXT, false},                                       \
    {                                                                                              \
        "metadata", "metadata", FIELD_JSON, false                                                  \
    }

static const struct field no_fields[] = {
    END,
};
static const struct field list_fields[] = {
    {"customer", "customer_id", FIELD_TEXT, false},
    {"status", "status", FIELD_TEXT, false},
    {"tier", "tier", FIELD_TEXT, false},
    {"search", "q", FIELD_TEXT, false},
    {"unused-since", "unused_since", FIELD_TEXT, false},
    {"order", "order", FIELD_TEXT, false},
    PAGES,
    END,
};
static const struct field create_fields[] = {
    {"customer", "customer_id", FIELD_TEXT, true},
    {"title", "title", FIELD_TEXT, false},
    {"description", "description", FIELD_TEXT, false},
    {"environment", "environment", FIELD_TEXT, false},
    {"label", "label", FIELD_TEXT, false},
    KEY_SETTINGS,
    {"deliver", "deliver", FIELD_TEXT, false},
    END,
};
static const struct field update_fields[] = {
    {"title", "title", FIELD_TEXT, false},
    {"description", "description", FIELD_TEXT, false},
    KEY_SETTINGS,
    END,
};
static const struct field import_fields[] = {
    {"customer", "customer_id", FIELD_TEXT, true},
    {"algorithm", "algorithm", FIELD_TEXT, true},
    {"hash", "hash", FIELD_TEXT, true},
    {"start", "start", FIELD_TEXT, true},
    {"hmac-key-file", "hmac_key", FIELD_FILE, false},
    {"hmac-key-encoding", "hmac_key_encoding", FIELD_TEXT, false},
    {"title", "title", FIELD_TEXT, false},
    {"description", "description", FIELD_TEXT, false},
    {"environment", "environment", FIELD_TEXT, false},
    KEY_SETTINGS,
    END,
};
static const struct field import_list_fields[] = {
    {"list", "list", FIELD_PATH, true},
    {"algorithm", "algorithm", FIELD_TEXT, true},
    {"hmac-key-file", "hmac_key", FIELD_FILE, false},
    {"hmac-key-encoding", "hmac_key_encoding", FIELD_TEXT, false},
    {"description", "description", FIELD_TEXT, false},
    {"environment", "environment", FIELD_TEXT, false},
    KEY_SETTINGS,
    END,
};
static const struct field secret_fields[] = {
    {"deliver", "deliver", FIELD_TEXT, false},
    END,
};
static const struct field rotate_fields[] = {
    {"grace-seconds", "grace_seconds", FIELD_NUMBER, false},
    {"deliver", "deliver", FIELD_TEXT, false},
    END,
};
static const struct field postpone_fields[] = {
    {"days", "days", FIELD_NUMBER, true},
    END,
};
static const struct field verify_fields[] = {
    {"cost", "cost", FIELD_NUMBER, false},
    {"permissions", "permissions", FIELD_LIST, false},
    {"ip", "ip", FIELD_TEXT, false},
    END,
};
static const struct field signup_fields[] = {
    {"external-id", "external_id", FIELD_TEXT, true},
    {"email", "email", FIELD_TEXT, true},
    {"tier", "tier", FIELD_TEXT, true},
    {"reference", "payment.reference", FIELD_TEXT, false},
    {"title", "key.title", FIELD_TEXT, false},
    CUSTOMER_SETTINGS,
    {"deliver", "deliver", FIELD_TEXT, false},
    END,
};
static const struct field customer_fields[] = {
    {"external-id", "external_id", FIELD_TEXT, true},
    {"email", "email", FIELD_TEXT, true},
    {"tier", "tier", FIELD_TEXT, true},
    {"reference", "payment.reference", FIELD_TEXT, false},
    CUSTOMER_SETTINGS,
    END,
};
static const struct field customer_update_fields[] = {
    {"email", "email", FIELD_TEXT, false},
    {"tier", "tier", FIELD_TEXT, false},
    {"reference", "payment.reference", FIELD_TEXT, false},
    CUSTOMER_SETTINGS,
    END,
};
static const struct field customer_list_fields[] = {
    {"external-id", "external_id", FIELD_TEXT, false},
    {"email", "email", FIELD_TEXT, false},
    {"tier", "tier", FIELD_TEXT, false},
    {"order", "order", FIELD_TEXT, false},
    PAGES,
    END,
};
static const struct field usage_fields[] = {
    {"from", "from", FIELD_TEXT, false},
    {"to", "to", FIELD_TEXT, false},
    {"granularity", "granularity", FIELD_TEXT, false},
    END,
};
static const struct field token_fields[] = {
    {"name", "name", FIELD_TEXT, true},
    {"scopes", "scopes", FIELD_LIST, true},
    {"permissions", "permissions", FIELD_LIST, false},
    {"expires-at", "expires_at", FIELD_TEXT, false},
    END,
};
static const struct field portal_fields[] = {
    {"customer", "customer_id", FIELD_TEXT, true},
    {"permissions", "permissions", FIELD_LIST, false},
    END,
};
static const struct field page_fields[] = {
    PAGES,
    END,
};
static const struct field rotation_fields[] = {
    {"status", "status", FIELD_TEXT, false},
    PAGES,
    END,
};
static const struct field notification_fields[] = {
    {"key", "key_id", FIELD_TEXT, false},
    {"customer", "customer_id", FIELD_TEXT, false},
    PAGES,
    END,
};
static const struct field preview_fields[] = {
    {"language", "language", FIELD_TEXT, false},
    {"format", "format", FIELD_TEXT, false},
    {"with", "with", FIELD_TEXT, false},
    END,
};
static const struct field mail_test_fields[] = {
    {"to", "to", FIELD_TEXT, true},
    END,
};
static const struct field audit_fields[] = {
    {"customer", "customer_id", FIELD_TEXT, false},
    {"action", "action", FIELD_TEXT, false},
    {"subject", "subject", FIELD_TEXT, false},
    PAGES,
    END,
};
static const struct field reconcile_fields[] = {
    {"dry-run", "dry_run", FIELD_FLAG, false},
    END,
};
static const struct field approve_fields[] = {
    {"tier", "tier", FIELD_TEXT, true},
    {"until", "until", FIELD_TEXT, true},
    {"note", "note", FIELD_TEXT, false},
    END,
};

static const char *const key_columns[] = {"id",    "title",       "status",       "tier",
                                          "start", "customer_id", "last_used_at", NULL};
static const char *const customer_columns[] = {"id",     "external_id", "email", "tier",
                                               "status", "created_at",  NULL};
static const char *const tier_columns[] = {"slug",          "name",     "monthly_quota",
                                           "overage",       "max_keys", "requires_payment",
                                           "rotation_days", "ack",      NULL};
static const char *const token_columns[] = {"id",         "name",       "scopes",     "start",
                                            "created_at", "expires_at", "revoked_at", NULL};
static const char *const usage_columns[] = {"start",       "allowed",      "denied_quota",
                                            "denied_rate", "denied_other", NULL};
static const char *const rotation_columns[] = {"key_id",    "secret_version", "status",  "due_at",
                                               "waits_for", "since",          "done_at", NULL};
static const char *const notification_columns[] = {"id",       "kind",  "key_id",     "state",
                                                   "attempts", "error", "created_at", NULL};
static const char *const alert_columns[] = {"id",     "kind",  "subject", "status",
                                            "detail", "times", "last_at", NULL};
static const char *const audit_columns[] = {"sequence", "at",          "actor",   "action",
                                            "subject",  "customer_id", "address", NULL};

const struct command commands[] = {
    COMMAND("signups", "create", "POST", "/v1/signups", SHOW_SECRET, NULL, signup_fields,
            "a customer with a first key; its secret alone goes to standard output"),
    COMMAND("customers", "list", "GET", "/v1/customers", SHOW_TABLE, customer_columns,
            customer_list_fields, "all customers, newest first"),
    COMMAND("customers", "get", "GET", "/v1/customers/%s", SHOW_OBJECT, NULL, no_fields,
            "one customer, by its id or your own id of it"),
    COMMAND("customers", "create", "POST", "/v1/customers", SHOW_OBJECT, NULL, customer_fields,
            "a customer without a key; payment-checked"),
    COMMAND("customers", "update", "PATCH", "/v1/customers/%s", SHOW_OBJECT, NULL,
            customer_update_fields, "change what is given"),
    COMMAND("customers", "delete", "DELETE", "/v1/customers/%s", SHOW_OBJECT, NULL, no_fields,
            "revoke its keys and erase its personal data"),
    COMMAND("keys", "list", "GET", "/v1/keys", SHOW_TABLE, key_columns, list_fields,
            "all keys, or a customer's"),
    COMMAND("keys", "get", "GET", "/v1/keys/%s", SHOW_OBJECT, NULL, no_fields, "one key"),
    COMMAND("keys", "create", "POST", "/v1/keys", SHOW_SECRET, NULL, create_fields,
            "a new key; its secret alone goes to standard output"),
    COMMAND("keys", "update", "PATCH", "/v1/keys/%s", SHOW_OBJECT, NULL, update_fields,
            "change what is given; obeyed by the next call"),
    COMMAND("keys", "import", "POST", "/v1/keys/import", SHOW_OBJECT, NULL, import_fields,
            "take over a key that was issued elsewhere, by its hash"),
    COMMAND("keys", "import-list", "POST", "/v1/keys/import", SHOW_IMPORT, NULL, import_list_fields,
            "the same for each line of a file: customer,hash,start and, if you like, a title"),
    READER("keys", "lookup", "POST", "/v1/keys/lookup", SHOW_OBJECT, NULL, no_fields,
           "which key is this? Read from standard input; not charged"),
    COMMAND("keys", "disable", "POST", "/v1/keys/%s/disable", SHOW_OBJECT, NULL, no_fields,
            "refuse a key until it is enabled"),
    COMMAND("keys", "enable", "POST", "/v1/keys/%s/enable", SHOW_OBJECT, NULL, no_fields,
            "accept a disabled key again"),
    COMMAND("keys", "rotate", "POST", "/v1/keys/%s/rotate", SHOW_SECRET, NULL, rotate_fields,
            "a new secret; the old one works on for the grace time"),
    COMMAND("keys", "regenerate", "POST", "/v1/keys/%s/regenerate", SHOW_SECRET, NULL,
            secret_fields, "a new secret; the old one is dead at once"),
    COMMAND("keys", "end-overlap", "POST", "/v1/keys/%s/end-overlap", SHOW_OBJECT, NULL, no_fields,
            "the old secret of a rotation is dead now"),
    COMMAND("keys", "postpone", "POST", "/v1/keys/%s/postpone", SHOW_OBJECT, NULL, postpone_fields,
            "rotate a key some days later"),
    COMMAND("keys", "resend-claim", "POST", "/v1/keys/%s/resend-claim", SHOW_OBJECT, NULL,
            no_fields, "mail another link to the secret that waits"),
    COMMAND("keys", "revoke", "POST", "/v1/keys/%s/revoke", SHOW_OBJECT, NULL, no_fields,
            "end a key for good"),
    COMMAND("usage", "key", "GET", "/v1/keys/%s/usage", SHOW_TABLE, usage_columns, usage_fields,
            "calls of a key by hour, day or month, and its quota"),
    COMMAND("usage", "customer", "GET", "/v1/customers/%s/usage", SHOW_TABLE, usage_columns,
            usage_fields, "calls of all a customer's keys, and its quota"),
    COMMAND("tiers", "list", "GET", "/v1/tiers", SHOW_TABLE, tier_columns, page_fields,
            "all tiers"),
    COMMAND("tiers", "get", "GET", "/v1/tiers/%s", SHOW_OBJECT, NULL, no_fields,
            "one tier, by its slug"),
    COMMAND("tiers", "set", "PUT", "/v1/tiers/%s", SHOW_OBJECT, NULL, no_fields,
            "make or replace a tier by the JSON of --body, in the form that get --json shows"),
    COMMAND("tokens", "list", "GET", "/v1/tokens", SHOW_TABLE, token_columns, page_fields,
            "service tokens, revoked ones too"),
    COMMAND("tokens", "create", "POST", "/v1/tokens", SHOW_SECRET, NULL, token_fields,
            "a service token; it alone goes to standard output"),
    COMMAND("tokens", "revoke", "DELETE", "/v1/tokens/%s", SHOW_OBJECT, NULL, no_fields,
            "refuse a token from now on"),
    COMMAND(
        "portal", "open", "POST", "/v1/portal-sessions", SHOW_LINK, NULL, portal_fields,
        "a link by which a customer comes to the portal, once; it alone goes to standard output"),
    COMMAND("rotations", "list", "GET", "/v1/rotations", SHOW_TABLE, rotation_columns,
            rotation_fields, "what is to be rotated or retired, and what was"),
    COMMAND("rotations", "run", "POST", "/v1/rotations/run", SHOW_OBJECT, NULL, no_fields,
            "do now what is due"),
    COMMAND("payments", "reconcile", "POST", "/v1/payments/reconcile", SHOW_CHANGES, NULL,
            reconcile_fields, "read all paid customers at the provider now, and heal what differs"),
    COMMAND("payments", "approve", "POST", "/v1/customers/%s/payment-approvals", SHOW_OBJECT, NULL,
            approve_fields, "a tier until a date, paid offline"),
    COMMAND("notifications", "list", "GET", "/v1/notifications", SHOW_TABLE, notification_columns,
            notification_fields, "mails that wait, were sent or given up"),
    COMMAND("notifications", "retry", "POST", "/v1/notifications/%s/retry", SHOW_OBJECT, NULL,
            no_fields, "send a mail now"),
    COMMAND("mail", "preview", "GET", "/v1/mail/previews/%s", SHOW_MAIL, NULL, preview_fields,
            "a mail with sample values; --format text or html, --with claim, secret, neither or "
            "shortest"),
    COMMAND("mail", "test", "POST", "/v1/mail/test", SHOW_RELAY, NULL, mail_test_fields,
            "send a test mail now, and tell what the relay says"),
    COMMAND("alerts", "list", "GET", "/v1/alerts", SHOW_TABLE, alert_columns, rotation_fields,
            "what an operator should know"),
    COMMAND("alerts", "ack", "POST", "/v1/alerts/%s/ack", SHOW_OBJECT, NULL, no_fields,
            "an alert has been looked after"),
    COMMAND("audit", "list", "GET", "/v1/audit", SHOW_TABLE, audit_columns, audit_fields,
            "who did what, newest first"),
    COMMAND("audit", "verify", "GET", "/v1/audit/verify", SHOW_CHAIN, NULL, no_fields,
            "does the chain of the newest 50,000 rows hold? Exit 2 when it does not"),
    READER("verify", NULL, "POST", "/v1/verify", SHOW_VERDICT, NULL, verify_fields,
           "may this key do this? The key is read from standard input; the call is charged"),
    COMMAND("doctor", NULL, "GET", "/v1/diagnosis", SHOW_DOCTOR, NULL, no_fields,
            "what is wrong, and what to do about it; exit 1 when something is"),
    COMMAND("completion", "bash", NULL, "", SHOW_COMPLETION, NULL, no_fields,
            "a script that completes words in bash: source <(keymeter completion bash)"),
    COMMAND("completion", "zsh", NULL, "", SHOW_COMPLETION, NULL, no_fields,
            "the same for zsh: source <(keymeter completion zsh), after compinit"),
    COMMAND("completion", "fish", NULL, "", SHOW_COMPLETION, NULL, no_fields,
            "the same for fish: keymeter completion fish | source"),
};
const size_t command_count = COUNT_OF(commands);
