/* argv only: which command, which options, then the command's function. What every command needs
 * of the process (no core dumps, no SIGPIPE, libraries) is set up here, first. */
#include "app.h"
#include "base/log.h"
#include "base/standard_streams.h"
#include "conf/settings.h"
#include "crypto/totp.h"
#include "dev.h"
#include "io/library.h"
#include "tools.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum {
    SETS_MAX = 64,
    SCOPES_TEXT_MAX = 256,
    OPTION_BASE = 1000,
    FILES_WANTED = 65536,
    LARGE_BLOCK = 1 << 20
};

enum option_id {
    OPTION_HELP = OPTION_BASE,
    OPTION_VERSION,
    OPTION_CONFIG,
    OPTION_SET,
    OPTION_STATE,
    OPTION_JSON,
    OPTION_ONCE,
    OPTION_SCOPE,
    OPTION_NAME,
    OPTION_ROLE,
};
static const struct option long_options[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"config", required_argument, NULL, OPTION_CONFIG},
    {"set", required_argument, NULL, OPTION_SET},
    {"state", required_argument, NULL, OPTION_STATE},
    {"json", required_argument, NULL, OPTION_JSON},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"scope", required_argument, NULL, OPTION_SCOPE},
    {"name", required_argument, NULL, OPTION_NAME},
    {"role", required_argument, NULL, OPTION_ROLE},
    {NULL, 0, NULL, 0},
};

struct arguments {
    const char *config, *state, *json, *name, *role;
    const char *sets[SETS_MAX];
    size_t set_count;
    char scopes[SCOPES_TEXT_MAX];
    bool once, help, version;
    unsigned given; /* bit mask of option_id - OPTION_BASE */
};

#define GIVEN(option) (1u << ((option)-OPTION_BASE))
#define COMMON        (GIVEN(OPTION_HELP) | GIVEN(OPTION_CONFIG) | GIVEN(OPTION_SET))

static const char usage[] =
    "usage: keymeterd [--config FILE] [--set SECTION.KEY=VALUE ...] COMMAND\n"
    "\n"
    "  serve                     run the daemon\n"
    "  dev [--state DIR] [--json FILE] [--once]\n"
    "                            run it with a private database, a token and a key, for trying\n"
    "  migrate up                bring the database's schema to this version\n"
    "  migrate status            show the schema's version; exit 1 when it is not this one\n"
    "  config check              check the settings and the texts of mails\n"
    "  config show               show every setting, its value and what is allowed\n"
    "  token create --scope SCOPE[,SCOPE] [--name TEXT]\n"
    "                            make a service token; the token alone goes to standard output\n"
    "  admin invite [--role ROLE]\n"
    "                            print a one-time link that makes an admin of the dashboard: "
    "owner\n"
    "                            (the default), admin, support or auditor\n"
    "  --version, --help\n"
    "\n"
    "Settings: " SETTINGS_FILE ", then conf.d/*.conf beside it, then --set.\n"
    "Exit: 0 done, 1 failed, 2 wrong usage.\n";

static void forbid_cores(const struct settings *settings)
{
    if (settings->debug.core_dumps) return;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its leak check attaches to the process */
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* Each connection is a file; the soft limit is often 1,024. Not without end: some programs, and
 * children inherit this, walk through all the numbers. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    if (files.rlim_cur >= FILES_WANTED) return;
    files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
    setrlimit(RLIMIT_NOFILE, &files);
}

static enum exit_code run_serve(const struct settings *settings, const struct arguments *arguments)
{
    (void)arguments;
    return app_serve(settings) ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static enum exit_code run_migrate_up(const struct settings *settings,
                                     const struct arguments *arguments)
{
    (void)arguments;
    return tool_migrate_up(settings);
}

static enum exit_code run_migrate_status(const struct settings *settings,
                                         const struct arguments *arguments)
{
    (void)arguments;
    return tool_migrate_status(settings);
}

static enum exit_code run_config_check(const struct settings *settings,
                                       const struct arguments *arguments)
{
    char error[APP_ERROR_SIZE];
    (void)arguments;
    if (app_check(settings, error)) {
        fprintf(stderr, "keymeterd: %s\n", error);
        return EXIT_CODE_FAILED;
    }
    enum exit_code code = tool_templates_check(settings);
    if (code == EXIT_CODE_OK) puts("ok");
    return code;
}

static enum exit_code run_config_show(const struct settings *settings,
                                      const struct arguments *arguments)
{
    (void)arguments;
    settings_write(settings, stdout);
    return EXIT_CODE_OK;
}

static enum exit_code run_token_create(const struct settings *settings,
                                       const struct arguments *arguments)
{
    return tool_token_create(settings, arguments->name ? arguments->name : "cli",
                             arguments->scopes);
}

static enum exit_code run_admin_invite(const struct settings *settings,
                                       const struct arguments *arguments)
{
    return tool_admin_invite(settings, arguments->role);
}

/* dev makes settings of its own. */
static enum exit_code run_dev(const struct settings *settings, const struct arguments *arguments)
{
    (void)settings;
    struct dev_options options = {
        .config = arguments->config,
        .state_dir = arguments->state,
        .json_file = arguments->json,
        .sets = arguments->sets,
        .set_count = arguments->set_count,
        .once = arguments->once,
    };
    return dev_run(&options) ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static const struct command {
    const char *words[2];
    unsigned options; /* beside COMMON */
    bool own_settings;
    enum exit_code (*run)(const struct settings *settings, const struct arguments *arguments);
} commands[] = {
    {{"serve", NULL}, 0, false, run_serve},
    {{"dev", NULL}, GIVEN(OPTION_STATE) | GIVEN(OPTION_JSON) | GIVEN(OPTION_ONCE), true, run_dev},
    {{"migrate", "up"}, 0, false, run_migrate_up},
    {{"migrate", "status"}, 0, false, run_migrate_status},
    {{"config", "check"}, 0, false, run_config_check},
    {{"config", "show"}, 0, false, run_config_show},
    {{"token", "create"}, GIVEN(OPTION_SCOPE) | GIVEN(OPTION_NAME), false, run_token_create},
    {{"admin", "invite"}, GIVEN(OPTION_ROLE), false, run_admin_invite},
};

static enum exit_code wrong_usage(const char *what, const char *word)
{
    fprintf(stderr, "keymeterd: %s%s\nTry `keymeterd --help`.\n", what, word);
    return EXIT_CODE_USAGE;
}

static bool take_option(struct arguments *arguments, int option)
{
    size_t used = strlen(arguments->scopes);
    switch (option) {
    case OPTION_HELP:
        arguments->help = true;
        break;
    case OPTION_VERSION:
        arguments->version = true;
        break;
    case OPTION_CONFIG:
        arguments->config = optarg;
        break;
    case OPTION_STATE:
        arguments->state = optarg;
        break;
    case OPTION_JSON:
        arguments->json = optarg;
        break;
    case OPTION_NAME:
        arguments->name = optarg;
        break;
    case OPTION_ROLE:
        arguments->role = optarg;
        break;
    case OPTION_ONCE:
        arguments->once = true;
        break;
    case OPTION_SET:
        if (arguments->set_count == SETS_MAX) return false;
        arguments->sets[arguments->set_count++] = optarg;
        break;
    case OPTION_SCOPE:
        if (used + strlen(optarg) + 2 > sizeof arguments->scopes) return false;
        snprintf(arguments->scopes + used, sizeof arguments->scopes - used, "%s%s", used ? "," : "",
                 optarg);
        break;
    default:
        return false; /* getopt_long has told what is wrong */
    }
    arguments->given |= GIVEN(option);
    return true;
}

static const struct command *find_command(char **words, int count)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *command = &commands[i];
        int needed = command->words[1] ? 2 : 1;
        if (count != needed || strcmp(words[0], command->words[0]) != 0) continue;
        if (needed == 1 || strcmp(words[1], command->words[1]) == 0) return command;
    }
    return NULL;
}

static enum exit_code run_command(const struct command *command, const struct arguments *arguments)
{
    struct settings settings = {0};
    char error[SETTINGS_ERROR_SIZE];
    if (!command->own_settings &&
        settings_load(&settings, arguments->config, arguments->sets, arguments->set_count, error)) {
        fprintf(stderr, "keymeterd: %s\n", error);
        settings_done(&settings);
        return EXIT_CODE_FAILED;
    }
    forbid_cores(&settings);
    /* Large blocks go back to the system when they are freed. Unless it is told so, malloc keeps
     * more and more of what a large fold had needed, in the thread that folded. */
    mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    raise_file_limit();
    if (!command->own_settings) log_set_level((enum log_level)settings.log.level);
    enum exit_code code = EXIT_CODE_FAILED;
    if (sodium_init() < 0 || totp_start() || library_init())
        fputs("keymeterd: a library could not be set up\n", stderr);
    else
        code = command->run(&settings, arguments);
    library_done();
    settings_done(&settings);
    if (fflush(stdout) == EOF) return EXIT_CODE_FAILED;
    return code;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    if (standard_streams_fill()) return EXIT_CODE_FAILED;
    signal(SIGPIPE, SIG_IGN);
    for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
        if (!take_option(&arguments, option)) return wrong_usage("wrong options", "");
    if (arguments.version || arguments.help) {
        fputs(arguments.version ? "keymeterd " KEYMETER_VERSION "\n" : usage, stdout);
        return fflush(stdout) == EOF ? EXIT_CODE_FAILED : EXIT_CODE_OK;
    }
    if (optind == argc) {
        fputs(usage, stderr);
        return EXIT_CODE_USAGE;
    }
    const struct command *command = find_command(argv + optind, argc - optind);
    if (!command) return wrong_usage("no such command, or too many words: ", argv[optind]);
    unsigned foreign = arguments.given & ~(command->options | COMMON);
    for (const struct option *option = long_options; option->name; option++)
        if (foreign & GIVEN(option->val))
            return wrong_usage("this command has no option --", option->name);
    return run_command(command, &arguments);
}
