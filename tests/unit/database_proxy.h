/* A relay between a program and the private mariadbd of its tests, so that a connection can break
 * on one side only: the client learns nothing of what the server goes on doing. */
#ifndef KEYMETER_TESTS_DATABASE_PROXY_H
#define KEYMETER_TESTS_DATABASE_PROXY_H

#include "io/db.h"

/* Starts server and relay once a program. Connections made with this config pass the relay. */
const struct db_config *database_proxy_start(void);
/* From now on nothing the server says on that connection (its id there) reaches the client. False:
 * there is no such connection any more. */
bool database_proxy_mute(uint64_t connection);
/* The client's side ends; the server is told nothing. False as above. */
bool database_proxy_cut(uint64_t connection);
/* The connection on whose first 16 KB the client sent this text, say of a statement it prepared
 * there; the newest one if there are several. 0: none. */
uint64_t database_proxy_find(const char *text);
/* Keeps what the server says back, until it is let go on. False as above. */
bool database_proxy_hold(uint64_t connection, bool on);
/* Whether something is being kept back. */
bool database_proxy_holds(uint64_t connection);
/* From now on every `from` that a client sends in one piece becomes `to`, of the same length; NULL:
 * nothing does. As a pooler in between does with what it does not like. Texts live on. */
void database_proxy_rewrite(const char *from, const char *to);

#endif
