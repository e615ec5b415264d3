/* What of the database `keymeter doctor` looks at and nothing else shows. DB thread. */
#ifndef KEYMETER_STORE_DIAGNOSIS_H
#define KEYMETER_STORE_DIAGNOSIS_H

#include "base/compiler.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct db;

enum { DIAGNOSIS_NODES_MAX = 64, DIAGNOSIS_NAME_SIZE = 65 };

struct diagnosis_node {
    char name[DIAGNOSIS_NAME_SIZE];
    int64_t heard_ms; /* its newest heartbeat, by its own clock */
};

struct diagnosis {
    uint64_t mails_dead, alerts_open;
    size_t node_count;
    struct diagnosis_node nodes[DIAGNOSIS_NODES_MAX]; /* those that are not fenced, by name */
};
MUST_USE enum err diagnosis_read(struct db *db, struct diagnosis *out);

#endif
