/* MariaDB Connector/C and libcurl keep process-wide state. Called by main.c first and last, while
 * there is one thread; what this sets up is set up for all of them. */
#include "io/library.h"

#include <curl/curl.h>
#include <mariadb/mysql.h>

enum err library_init(void)
{
    if (mysql_library_init(0, NULL, NULL) != 0) return ERR_NO_MEMORY;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) return ERR_OK;
    mysql_library_end();
    return ERR_NO_MEMORY;
}

void library_done(void)
{
    curl_global_cleanup();
    mysql_library_end();
}
