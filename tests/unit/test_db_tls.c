/* io/db over TCP: only encrypted, and only to the server that the CA vouches for by its name. */
#include "database.h"

#include "unit.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char directory[] = "/tmp/keymeter-tls-XXXXXX";
static char host[32], other_host[32], own_ca[64], foreign_ca[64];
static char port_option[32], key_option[96], cert_option[96];

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void make_certificate(const char *name)
{
    char command[400];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout %s/%s.key "
             "-out %s/%s.pem >/dev/null 2>&1",
             directory, name, directory, name);
    assert_int_equal(system(command), 0);
}

static int start_server(void **state)
{
    (void)state;
    static const char *options[6];
    assert_non_null(mkdtemp(directory));
    make_certificate("own");
    make_certificate("foreign");
    unsigned port = free_port();
    snprintf(host, sizeof host, "localhost:%u", port);
    /* Connector/C 3.4 does not look at the name for 127.0.0.1. */
    snprintf(other_host, sizeof other_host, "127.0.0.2:%u", port);
    snprintf(own_ca, sizeof own_ca, "%s/own.pem", directory);
    snprintf(foreign_ca, sizeof foreign_ca, "%s/foreign.pem", directory);
    snprintf(port_option, sizeof port_option, "--port=%u", port);
    snprintf(key_option, sizeof key_option, "--ssl-key=%s/own.key", directory);
    snprintf(cert_option, sizeof cert_option, "--ssl-cert=%s", own_ca);
    options[0] = "--bind-address=127.0.0.1,127.0.0.2";
    options[1] = port_option;
    options[2] = key_option;
    options[3] = cert_option;
    database_options(options);
    struct db *db = database_open();
    assert_int_equal(db_command(db, "CREATE USER tls IDENTIFIED BY 'not a secret'"), ERR_OK);
    assert_int_equal(db_command(db, "GRANT ALL ON keymeter_test.* TO tls"), ERR_OK);
    db_close(&db);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", directory);
    return system(command);
}

static enum err try_open(const char *where, const char *ca, char why[200])
{
    struct db *db;
    struct db_config config = {.hosts = where,
                               .user = "tls",
                               .password = "not a secret",
                               .name = "keymeter_test",
                               .ca_file = ca};
    enum err error = db_open(&db, &config);
    if (!error) {
        struct db_rows rows;
        error = db_query(db, "SHOW STATUS LIKE 'Ssl_cipher'", DB_NONE, &rows);
        assert_int_equal(error, ERR_OK);
        assert_true(db_next(&rows));
        assert_true(db_get_span(&rows, 1).length > 0);
        db_finish(&rows);
    }
    snprintf(why, 200, "%s", db_error_text(db));
    db_close(&db);
    return error;
}

/* A bare debootstrap has no /etc/hosts. */
static void skip_without_localhost(void)
{
    struct addrinfo hints = {.ai_family = AF_INET}, *found = NULL;
    if (getaddrinfo("localhost", NULL, &hints, &found)) {
        print_message("localhost has no address here: skipped\n");
        skip();
    }
    freeaddrinfo(found);
}

static void the_right_server_is_accepted(void **state)
{
    (void)state;
    skip_without_localhost();
    char why[200];
    if (try_open(host, own_ca, why)) fail_msg("%s", why);
}

static void others_are_refused(void **state)
{
    (void)state;
    char why[200];
    assert_int_equal(try_open(host, foreign_ca, why), ERR_DB_LOST);
    assert_int_equal(try_open(host, NULL, why), ERR_DB_LOST);
    assert_int_equal(try_open(other_host, own_ca, why), ERR_DB_LOST);
    assert_int_equal(try_open(host, "/nonexistent.pem", why), ERR_DB_LOST);
}

static void a_dead_host_is_passed_over(void **state)
{
    (void)state;
    skip_without_localhost();
    char why[200], hosts[100];
    unsigned dead = free_port();
    snprintf(hosts, sizeof hosts, "localhost:%u,%s", dead, host);
    if (try_open(hosts, own_ca, why)) fail_msg("%s", why);
    snprintf(hosts, sizeof hosts, "%s,localhost:%u", host, dead);
    if (try_open(hosts, own_ca, why)) fail_msg("%s", why);
    snprintf(hosts, sizeof hosts, "localhost:%u,localhost:%u", dead, dead);
    assert_int_equal(try_open(hosts, own_ca, why), ERR_DB_LOST);
    assert_int_equal(strncmp(why, "localhost:", 10), 0);
    snprintf(hosts, sizeof hosts, "%s,", host);
    if (try_open(hosts, own_ca, why)) fail_msg("%s", why);
    snprintf(hosts, sizeof hosts, ",%s", host);
    assert_int_equal(try_open(hosts, own_ca, why), ERR_INVALID);
}

static void of_several_hosts_a_read_only_one_is_passed_over(void **state)
{
    (void)state;
    skip_without_localhost();
    char why[200], hosts[100];
    struct db *root = database_open();
    assert_int_equal(db_command(root, "SET GLOBAL read_only = 1"), ERR_OK);
    snprintf(hosts, sizeof hosts, "%s,%s", host, host);
    assert_int_equal(try_open(hosts, own_ca, why), ERR_DB_LOST);
    assert_non_null(strstr(why, "read-only"));
    if (try_open(host, own_ca, why))
        fail_msg("%s", why); /* it is the only one: it may become one */
    assert_int_equal(db_command(root, "SET GLOBAL read_only = 0"), ERR_OK);
    db_close(&root);
    if (try_open(hosts, own_ca, why)) fail_msg("%s", why);
}

static void clear_text_is_refused(void **state)
{
    (void)state;
    skip_without_localhost();
    static const char *options[] = {"--bind-address=127.0.0.1", port_option, "--skip-ssl", NULL};
    char why[200];
    database_kill();
    database_options(options);
    database_restart();
    assert_int_equal(try_open(host, own_ca, why), ERR_DB_LOST);
    assert_non_null(strcasestr(why, "ssl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_right_server_is_accepted),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(a_dead_host_is_passed_over),
        cmocka_unit_test(of_several_hosts_a_read_only_one_is_passed_over),
        cmocka_unit_test(clear_text_is_refused),
    };
    return cmocka_run_group_tests(tests, start_server, remove_files);
}
