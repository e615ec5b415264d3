/* The one list of settings: what settings.c parses, checks, shows and explains. To add a setting:
 * a member of struct settings (settings.h) and a line here. Rows of a section stand together. */
#include "conf/settings_table.h"

#include "base/compiler.h"
#include "conf/settings.h"

#define TEXT(sect, name, kind, value, text)                                                        \
    {                                                                                              \
#sect, #name, kind, value, 0, 0, NULL, text, offsetof(struct settings, sect.name)          \
    }
#define FLAG(sect, name, value, text)                                                              \
    {                                                                                              \
#sect, #name, SETTING_BOOL, value, 0, 0, NULL, text, offsetof(struct settings, sect.name)  \
    }
#define NUMBER(sect, name, value, low, high, text)                                                 \
    {                                                                                              \
#sect, #name, SETTING_NUMBER, value, low, high, NULL, text,                                \
            offsetof(struct settings, sect.name)                                                   \
    }
#define TIME(sect, name, value, low, high, text)                                                   \
    {                                                                                              \
#sect, #name, SETTING_DURATION, value, low, high, NULL, text,                              \
            offsetof(struct settings, sect.name##_ms)                                              \
    }
#define CHOICE(sect, name, value, words, text)                                                     \
    {                                                                                              \
#sect, #name, SETTING_CHOICE, value, 0, 0, words, text,                                    \
            offsetof(struct settings, sect.name)                                                   \
    }

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static const char *const providers[] = {"none", "http", "stripe", NULL};
static const char *const lapses[] = {"grace", "at_once", NULL};
static const char *const downgrades[] = {"period_end", "at_once", NULL};
static const char *const taken_back[] = {"ignore", "lapse", NULL};
static const char *const mail_auths[] = {"plain", "login", "xoauth2", NULL};
static const char *const automatics[] = {"mail", "yes", "no", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

const struct setting settings_table[] = {
    TEXT(node, name, SETTING_NAME, "",
         "This node's name, one of its own for each daemon. Empty: the host's name."),
    FLAG(node, trust_clock, "no", "Go on when the wall clock has jumped (for tests)."),

    TEXT(listen, api, SETTING_ADDRESS, "127.0.0.1:7070", "Management API."),
    TEXT(listen, gateway, SETTING_ADDRESS, "127.0.0.1:7071",
         "Verification for gateways. Empty: off."),
    TEXT(listen, public, SETTING_ADDRESS, "",
         "Claim links for customers, on an address of their own. Empty: on api."),
    FLAG(listen, allow_cleartext, "no", "Listen without TLS on addresses beyond loopback."),
    FLAG(listen, reuse_port, "no", "Share the ports with other daemons of this machine."),
    TEXT(listen, trusted_proxies, SETTING_NETWORKS, "",
         "Networks whose X-Forwarded-For is believed; if any are named, also a Unix socket's "
         "peers."),

    TEXT(database, socket, SETTING_PATH, "/run/mysqld/mysqld.sock", "MariaDB's Unix socket."),
    TEXT(
        database, hosts, SETTING_HOSTS, "",
        "MariaDB over the network instead of the socket: TLS, checked against ca_file. Of several, "
        "the first that answers and is not read-only."),
    TEXT(database, user, SETTING_NAME, "keymeter", "Database user."),
    TEXT(database, name, SETTING_NAME, "keymeter", "Schema."),
    TEXT(database, password_file, SETTING_PATH, "", "File with the user's password, mode 0600."),
    TEXT(database, ca_file, SETTING_PATH, "",
         "Certificates that MariaDB's must be signed by. Empty: the system's."),
    TIME(database, connect_timeout, "5s", SECOND, MINUTE, "For a connection to stand."),
    TIME(database, io_timeout, "10s", SECOND, 5 * MINUTE, "For one answer of the database."),
    NUMBER(database, readers, "2", 1, 16, "Connections for reads."),
    NUMBER(database, queue, "1024", 16, 65536, "Jobs waiting for a connection; past it 503."),
    FLAG(database, allow_weak_durability, "no",
         "Start although the server may lose commits it has acknowledged when it crashes."),

    CHOICE(payment, provider, "none", providers, "Who confirms payments."),
    TEXT(payment, url, SETTING_URL, "",
         "Where to ask: https, or http to loopback. Empty with stripe: Stripe's own API."),
    TEXT(payment, secret_file, SETTING_PATH, "",
         "File with the signing secret (http) or the API key (stripe), mode 0600."),
    TEXT(payment, webhook_secret_file, SETTING_PATH, "",
         "File with the secrets that the provider signs its webhooks with, one a line, mode 0600. "
         "Empty: webhooks are refused."),
    TEXT(payment, ca_file, SETTING_PATH, "", "Certificates for url. Empty: the system's."),
    TIME(payment, timeout, "5s", 100, MINUTE, "For the whole question."),
    NUMBER(payment, grace_days, "7", 0, 90, "Days a tier stays after its payment failed."),
    CHOICE(payment, lapse, "grace", lapses,
           "When unpaid and canceled end a tier: grace (and canceled ones run to the end of what "
           "was paid), at_once."),
    CHOICE(payment, downgrade, "period_end", downgrades,
           "When a smaller tier that is paid for begins."),
    CHOICE(payment, on_refund, "ignore", taken_back,
           "What becomes of a tier whose payment was refunded in full."),
    CHOICE(payment, on_dispute, "ignore", taken_back,
           "What becomes of a tier whose payment is disputed."),
    TIME(payment, reconcile, "1h", MINUTE, 24 * HOUR,
         "Between two readings of each paid customer at the provider."),
    NUMBER(payment, reads_per_second, "20", 1, 1000,
           "Customers that this node reads at the provider in a second at most."),

    TEXT(product, name, SETTING_TITLE, "",
         "What your product is called, for customers. Empty: the name in mail.from, else its "
         "domain."),
    TEXT(product, support, SETTING_MAILBOX, "",
         "Where customers find help: an address. Empty: mail.reply_to."),
    TEXT(product, documentation_url, SETTING_URL, "", "Where your API is documented."),
    TEXT(product, logo_file, SETTING_PATH, "",
         "Picture beside the name on pages for customers: .svg or .png, at most 128 KiB. Empty: a "
         "key."),
    TEXT(product, colour, SETTING_COLOUR, "",
         "Colour of buttons, links and charts on pages for customers: #1f5fd6."),
    TEXT(product, colour_dark, SETTING_COLOUR, "", "The same for dark screens. Empty: our own."),
    TEXT(product, endpoint, SETTING_URL, "", "Your API's address, for examples of calls."),
    TEXT(
        product, header, SETTING_HEADER, "X-API-Key",
        "The header that your API takes keys in, for examples of calls; or Authorization: Bearer."),

    TEXT(mail, url, SETTING_MAIL_URL, "",
         "Where mail goes: smtps://host:465, smtp://host:587 (STARTTLS), maildir:/path. Empty: "
         "off."),
    TEXT(mail, from, SETTING_MAILBOX, "", "Sender: address, or Name <address>."),
    TEXT(mail, reply_to, SETTING_MAILBOX, "",
         "Where answers go. Empty: to product.support, else to the sender."),
    TEXT(mail, templates, SETTING_PATH, "",
         "Folder with texts of your own (docs/mail-templates.md). Empty: the built-in ones."),
    TEXT(mail, language, SETTING_LANGUAGE, "en",
         "Language of the mails, where your texts have it: de, pt-BR."),
    TEXT(mail, ca_file, SETTING_PATH, "",
         "Certificates that the relay's must be signed by. Empty: the system's."),
    TEXT(mail, username, SETTING_LOGIN, "", "Login at the relay. Empty: none."),
    TEXT(mail, password_file, SETTING_PATH, "",
         "File with the password, or with the token for xoauth2, mode 0600; read for each "
         "connection."),
    CHOICE(mail, auth, "plain", mail_auths, "How to log in."),
    NUMBER(mail, connections, "6", 1, 32, "Connections to the relay at once."),
    NUMBER(mail, queue, "256", 1, 65536, "Mails handed over that wait for a connection."),
    TIME(mail, connect_timeout, "10s", 100, MINUTE, "For a connection, TLS and the login."),
    TIME(mail, answer_timeout, "30s", 100, 10 * MINUTE,
         "For each answer of the relay but the last."),
    TIME(mail, timeout, "5m", 100, 20 * MINUTE,
         "For a whole mail with the relay's last answer; and for its wait in the queue."),

    TIME(metering, max_wait, "250ms", 10, MINUTE, "A call not committed by then gets 503."),
    NUMBER(metering, keys, "100000", 16, 10000000, "Keys held in memory."),
    NUMBER(metering, queue, "65536", 16, 1048576, "Calls waiting for a commit; past it 503."),
    FLAG(metering, x_ratelimit, "no", "Also send X-RateLimit-* headers."),

    TEXT(keys, master_key_file, SETTING_PATH, "/var/lib/keymeter/master.key",
         "The key that seals; made at the first start on an empty schema."),
    TEXT(keys, pepper_file, SETTING_PATH, "/var/lib/keymeter/pepper.key",
         "The key of the lookup hashes; made with the master key."),

    TEXT(portal, base_url, SETTING_BASE_URL, "",
         "Where customers reach the claim page: https://keys.example.com. Claim links begin with "
         "it."),
    TIME(portal, link_lifetime, "5m", 10 * SECOND, 24 * HOUR,
         "For a link of POST /v1/portal-sessions to be opened."),
    TIME(portal, session_lifetime, "1h", MINUTE, 24 * HOUR,
         "For the visit behind it; then the customer needs a new link."),

    TEXT(admin, base_url, SETTING_BASE_URL, "",
         "Where admins reach the dashboard: https://keys-admin.example.com. Empty: at listen.api."),

    CHOICE(rotation, automatic, "mail", automatics,
           "Do the steps of rotations as they come due; mail: yes when mail.url is set; no: only "
           "when asked by POST /v1/rotations/run."),
    NUMBER(rotation, per_minute, "6000", 1, 1000000,
           "Notices and rotations that this node does in a minute at most."),

    CHOICE(log, level, "info", log_levels, "Lowest level that is logged."),
    FLAG(log, requests, "yes", "A line for each management request of a token, but verify calls."),
    NUMBER(log, refusals, "20", 0, 10000,
           "Lines a second for failed authentications and other refused strangers; 0: none."),

    NUMBER(limits, connections, "4096", 8, 1000000, "Open connections in all."),
    NUMBER(limits, connections_per_address, "1024", 1, 1000000, "Open connections of one address."),
    NUMBER(limits, pipelined, "8", 1, 64, "Requests in flight on a connection."),
    TIME(limits, head_timeout, "10s", 100, MINUTE, "For a request's head to arrive."),
    TIME(limits, body_timeout, "30s", 100, 5 * MINUTE, "For a request's body to arrive."),
    TIME(limits, idle_timeout, "60s", 100, HOUR, "Between requests."),
    TIME(limits, write_timeout, "30s", 100, 5 * MINUTE, "For a client to take its answer."),
    TIME(limits, drain, "10s", 0, 5 * MINUTE, "After SIGTERM, for requests under way."),

    FLAG(debug, core_dumps, "no", "Allow core dumps, which hold secrets."),
};
const size_t settings_table_count = COUNT_OF(settings_table);

_Static_assert(COUNT_OF(settings_table) <= SETTINGS_TABLE_MAX, "raise SETTINGS_TABLE_MAX");
