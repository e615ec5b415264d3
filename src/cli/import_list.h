/* `keymeter keys import-list`: many keys of another system, one call a line. */
#ifndef KEYMETER_CLI_IMPORT_LIST_H
#define KEYMETER_CLI_IMPORT_LIST_H

#include "base/compiler.h"
#include "cli/request.h"

/* Lines of `customer,hash,start[,title]` of the file in the member `list` of
 * call->body ("-": standard input), each with what the options say. A line that is refused is told
 * and the next one taken; one that was imported before is counted as such, so a list may be sent
 * again. Ends at once where every line would fail: no connection, no right. EXIT_CODE_REFUSED: at
 * least one line was refused. */
MUST_USE enum exit_code import_list_run(struct invocation *call);

#endif
