/* Called by cli/main.c. What always holds: what is offered is what the table of commands has, and
 * the scripts ask nothing over the network. Helps are quoted for each shell. */
#include "cli/completion.h"

#include "base/compiler.h"
#include "cli/commands.h"
#include "cli/help.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool first_of_word(size_t at)
{
    return at == 0 || strcmp(commands[at].words[0], commands[at - 1].words[0]) != 0;
}

/* In single quotes: for fish and zsh's _describe, where a colon ends the word. */
static void put_quoted(const char *text, const char *quote, bool colons)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs(quote, stdout);
        else if (*text == ':' && colons)
            fputs("\\:", stdout);
        else
            putchar(*text);
    }
}

static const struct field common_fields[] = {
    {"key-file", NULL, FIELD_FILE, false},
    {"body", NULL, FIELD_FILE, false},
    {"idempotency-key", NULL, FIELD_TEXT, false},
    {"json", NULL, FIELD_FLAG, false},
    {"help", NULL, FIELD_FLAG, false},
};

static bool has_common(const struct command *command, const struct field *field)
{
    if (strcmp(field->option, "key-file") == 0) return command->reads_secret;
    if (strcmp(field->option, "help") == 0) return true;
    return strcmp(field->option, "json") == 0 ? command->method != NULL : help_has_body(command);
}

/* All options of a command, by `put`. */
static void each_option(const struct command *command,
                        void (*put)(const struct command *command, const struct field *field))
{
    for (const struct field *field = command->fields; field->option; field++)
        put(command, field);
    for (size_t i = 0; i < COUNT_OF(common_fields); i++)
        if (has_common(command, &common_fields[i])) put(command, &common_fields[i]);
}

static void put_option(const struct command *command, const struct field *field)
{
    (void)command;
    printf(" --%s", field->option);
}

static void put_words(void)
{
    for (size_t i = 0; i < command_count; i++)
        if (first_of_word(i)) printf(" %s", commands[i].words[0]);
    fputs(" help", stdout);
}

static void put_verbs(const char *word)
{
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(word, commands[i].words[0]) == 0 && commands[i].words[1])
            printf(" %s", commands[i].words[1]);
}

/* Where a command may stand. */
#define ALONE "--help --version"

/* ---- bash ---- */

static void print_bash(void)
{
    fputs("# bash completion for keymeter; made by `keymeter completion bash`\n"
          "_keymeter() {\n"
          "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} offer=\n"
          "  COMPREPLY=()\n"
          "  case $before in\n"
          "  --*-file|--list|--body)\n"
          "    compopt -o filenames 2>/dev/null\n"
          "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "    return ;;\n"
          "  esac\n"
          "  if ((COMP_CWORD == 1)); then\n"
          "    offer='",
          stdout);
    put_words();
    fputs("'\n    if [[ $current == -* ]]; then offer='" ALONE "'; fi\n"
          "  elif ((COMP_CWORD == 2)) && [[ $current != -* ]]; then\n"
          "    case ${COMP_WORDS[1]} in\n",
          stdout);
    for (size_t i = 0; i < command_count; i++) {
        if (!first_of_word(i) || !commands[i].words[1]) continue;
        printf("    %s) offer='", commands[i].words[0]);
        put_verbs(commands[i].words[0]);
        fputs("' ;;\n", stdout);
    }
    fputs("    help) offer='", stdout);
    put_words();
    fputs("' ;;\n    esac\n  elif [[ $current == -* || -z $current ]]; then\n"
          "    case \"${COMP_WORDS[1]} ${COMP_WORDS[2]}\" in\n",
          stdout);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        printf("    \"%s %s\"%s) offer='", command->words[0],
               command->words[1] ? command->words[1] : "", command->words[1] ? "" : "*");
        each_option(command, put_option);
        fputs("' ;;\n", stdout);
    }
    fputs("    esac\n  fi\n"
          "  mapfile -t COMPREPLY < <(compgen -W \"$offer\" -- \"$current\")\n"
          "}\n"
          "complete -F _keymeter keymeter\n",
          stdout);
}

/* ---- zsh ---- */

static void put_zsh_verb(const char *word, const char *help)
{
    printf(" '%s:", word);
    put_quoted(help, "'\\''", true);
    putchar('\'');
}

static void print_zsh_words(void)
{
    fputs("  if ((CURRENT == 2)); then\n    offer=(", stdout);
    put_words();
    fputs(" )\n    if [[ $words[2] == -* ]]; then offer=( " ALONE " ); fi\n"
          "  elif ((CURRENT == 3)) && [[ $words[3] != -* ]]; then\n    case $words[2] in\n",
          stdout);
    for (size_t i = 0; i < command_count; i++) {
        if (!commands[i].words[1]) continue;
        if (first_of_word(i)) printf("    %s) offer=(", commands[i].words[0]);
        put_zsh_verb(commands[i].words[1], commands[i].help);
        if (i + 1 == command_count || first_of_word(i + 1)) fputs(" ) ;;\n", stdout);
    }
    fputs("    help) offer=(", stdout);
    put_words();
    fputs(" ) ;;\n    esac\n  else\n", stdout);
}

static void print_zsh(void)
{
    fputs("#compdef keymeter\n# zsh completion for keymeter; made by `keymeter completion zsh`\n"
          "_keymeter() {\n"
          "  local -a offer\n"
          "  case $words[CURRENT-1] in\n"
          "  --*-file|--list|--body) _files; return ;;\n"
          "  esac\n",
          stdout);
    print_zsh_words();
    fputs("    case \"$words[2] $words[3]\" in\n", stdout);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        printf("    \"%s %s\"%s) offer=(", command->words[0],
               command->words[1] ? command->words[1] : "", command->words[1] ? "" : "*");
        each_option(command, put_option);
        fputs(" ) ;;\n", stdout);
    }
    fputs("    esac\n  fi\n"
          "  _describe keymeter offer\n"
          "}\n"
          "if [[ ${funcstack[1]} == _keymeter ]]; then\n  _keymeter \"$@\"\n"
          "else\n  compdef _keymeter keymeter\nfi\n",
          stdout);
}

/* ---- fish ---- */

static void fish_line(const char *behind, const char *word, const char *help)
{
    printf("complete -c keymeter -f -n '__keymeter_at%s' -a %s", behind, word);
    if (help) {
        fputs(" -d '", stdout);
        put_quoted(help, "\\'", false);
        putchar('\'');
    }
    putchar('\n');
}

static void put_fish_option(const struct command *command, const struct field *field)
{
    const char *verb = command->words[1];
    const char *takes = field->type == FIELD_FLAG ? "" : " -x";
    if (field->type == FIELD_FILE || field->type == FIELD_PATH) takes = " -r -F";
    printf("complete -c keymeter -n '__keymeter_in %s%s%s' -l %s%s\n", command->words[0],
           verb ? " " : "", verb ? verb : "", field->option, takes);
}

static void print_fish(void)
{
    fputs("# fish completion for keymeter; made by `keymeter completion fish`\n"
          "function __keymeter_at\n"
          "  set -l typed (commandline -opc)\n"
          "  test \"$typed[2..-1]\" = \"$argv\"\n"
          "end\n"
          "function __keymeter_in\n"
          "  set -l typed (commandline -opc)\n"
          "  test (count $typed) -gt (count $argv)\n"
          "  and set -l last (math 1 + (count $argv))\n"
          "  and test \"$typed[2..$last]\" = \"$argv\"\n"
          "end\n"
          "complete -c keymeter -f\n",
          stdout);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *command = &commands[i];
        char behind[64];
        snprintf(behind, sizeof behind, " %s", command->words[0]);
        if (first_of_word(i))
            fish_line("", command->words[0], command->words[1] ? NULL : command->help);
        if (first_of_word(i)) fish_line(" help", command->words[0], NULL);
        if (command->words[1]) fish_line(behind, command->words[1], command->help);
        each_option(command, put_fish_option);
    }
    fish_line("", "help", NULL);
    fputs("complete -c keymeter -n __keymeter_at -l help\n"
          "complete -c keymeter -n __keymeter_at -l version\n",
          stdout);
}

void completion_print(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else
        print_fish();
}
