/* Called by cli/main.c and request.c. What always holds: a command and an option that the table has
 * is told here, and none that it has not. */
#include "cli/help.h"

#include "base/compiler.h"

#include <string.h>

static const char environment[] =
    "KEYMETER_ADDR   https://…, http:// on this machine, or unix:/path (http://127.0.0.1:7070)\n"
    "KEYMETER_TOKEN  the service token\n\n"
    "Exit: 0 done, 1 local error, 2 refused or failed, 4 not authorised.\n";

const char *help_argument(const struct command *command)
{
    if (!strstr(command->path, "%s")) return "";
    if (command->show == SHOW_MAIL) return " KIND";
    return strcmp(command->words[0], "tiers") == 0 ? " SLUG" : " ID";
}

const char *help_value(const struct field *field)
{
    static const char *const values[] = {
        [FIELD_TEXT] = " TEXT", [FIELD_NUMBER] = " NUMBER", [FIELD_LIST] = " WORD,WORD",
        [FIELD_FLAG] = "",      [FIELD_JSON] = " JSON",     [FIELD_FILE] = " FILE",
        [FIELD_PATH] = " FILE",
    };
    return values[field->type];
}

static void command_line(const struct command *command, FILE *out)
{
    fprintf(out, "  %s%s%s%s\n      %s\n", command->words[0], command->words[1] ? " " : "",
            command->words[1] ? command->words[1] : "", help_argument(command), command->help);
}

bool help_has_body(const struct command *command)
{
    return command->method && strcmp(command->method, "GET") != 0 &&
           strcmp(command->method, "DELETE") != 0 && command->show != SHOW_IMPORT;
}

static void command_whole(const struct command *command)
{
    printf("usage: keymeter %s%s%s%s%s\n\n%s\n\n", command->words[0], command->words[1] ? " " : "",
           command->words[1] ? command->words[1] : "", help_argument(command),
           command->method ? " [--OPTION VALUE ...] [--json]" : "", command->help);
    for (const struct field *field = command->fields; field->option; field++)
        printf("  --%s%s%s\n", field->option, help_value(field),
               field->required ? " (needed)" : "");
    if (command->reads_secret) puts("  --key-file FILE (instead of standard input)");
    if (help_has_body(command)) {
        puts("  --body FILE (the call's JSON, or - for standard input; options win over it)");
        puts("  --idempotency-key TEXT (makes a call that is sent again safe)");
    }
    if (command->method) {
        puts("  --json (the API's answer as it is)\n");
        fputs(environment, stdout);
    }
}

static bool word_exists(const char *word)
{
    for (size_t i = 0; word && i < command_count; i++)
        if (strcmp(word, commands[i].words[0]) == 0) return true;
    return false;
}

void help_verbs(const char *word, FILE *out)
{
    bool all = !word_exists(word);
    fputs("usage: keymeter COMMAND [ID] [--OPTION VALUE ...] [--json]\n"
          "       keymeter COMMAND --help\n"
          "       keymeter --version\n\n",
          out);
    for (size_t i = 0; i < command_count; i++)
        if (all || strcmp(word, commands[i].words[0]) == 0) command_line(&commands[i], out);
    fputc('\n', out);
    fputs(environment, out);
}

bool help_wanted(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "help") == 0) return true;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) return true;
    return false;
}

enum exit_code help_print(int argc, char **argv)
{
    const char *words[2] = {NULL, NULL};
    size_t count = 0;
    for (int i = 1; i < argc && count < COUNT_OF(words); i++)
        if (argv[i][0] != '-' && (i > 1 || strcmp(argv[i], "help") != 0)) words[count++] = argv[i];
    for (size_t i = 0; i < command_count; i++) {
        const char *const *of = commands[i].words;
        if (!words[0] || strcmp(words[0], of[0]) != 0) continue;
        if (of[1] && (!words[1] || strcmp(words[1], of[1]) != 0)) continue;
        command_whole(&commands[i]);
        return EXIT_CODE_OK;
    }
    bool known = (!words[0] || word_exists(words[0])) && !words[1];
    help_verbs(words[0], known ? stdout : stderr);
    return known ? EXIT_CODE_OK : EXIT_CODE_LOCAL;
}
