/* The settings of [mail] as io takes them, because io knows no settings. Called where the transport
 * is made, on the loop thread. */
#include "service/mail_config.h"

#include "conf/settings.h"

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

struct mail_transport_config mail_config_of(const struct settings *settings)
{
    static const enum mail_auth auths[] = {
        [SETTINGS_MAIL_PLAIN] = MAIL_AUTH_PLAIN,
        [SETTINGS_MAIL_LOGIN] = MAIL_AUTH_LOGIN,
        [SETTINGS_MAIL_XOAUTH2] = MAIL_AUTH_XOAUTH2,
    };
    return (struct mail_transport_config){
        .url = settings->mail.url,
        .ca_file = or_null(settings->mail.ca_file),
        .username = or_null(settings->mail.username),
        .password_file = or_null(settings->mail.password_file),
        .auth = auths[settings->mail.auth],
        .connections = settings->mail.connections,
        .queue = settings->mail.queue,
        .connect_timeout_ms = settings->mail.connect_timeout_ms,
        .answer_timeout_ms = settings->mail.answer_timeout_ms,
        .timeout_ms = settings->mail.timeout_ms,
    };
}
