/* Strict JSON in (jansson) and a small bounded writer out. No state, any thread. */
#ifndef KEYMETER_BASE_JSON_H
#define KEYMETER_BASE_JSON_H

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/span.h"

#include <jansson.h>

enum { JSON_DEPTH_MAX = 32, JSON_ERROR_SIZE = 128 };

/* One object or array (RFC 8259), UTF-8, no NUL, no duplicate names, at most 32 levels deep.
 * ERR_INVALID with a text for people, which never quotes the input; ERR_NO_MEMORY. The caller
 * json_decref()s *out, which is NULL on failure. */
MUST_USE enum err json_parse_strict(struct span text, json_t **out, char error[JSON_ERROR_SIZE]);

/* ---- writing: each call puts the comma it needs. `name` NULL: an array's element or the top.
 * Errors stay in buf->failed. ---- */
void json_open(struct buf *buf, const char *name, char bracket); /* '{' or '[' */
void json_close(struct buf *buf, char bracket);                  /* '}' or ']' */
void json_put_text(struct buf *buf, const char *name, struct span text);
void json_put_string(struct buf *buf, const char *name, const char *text); /* NULL: null */
void json_put_u64(struct buf *buf, const char *name, uint64_t value);
void json_put_i64(struct buf *buf, const char *name, int64_t value);
void json_put_bool(struct buf *buf, const char *name, bool value);
void json_put_null(struct buf *buf, const char *name);
void json_put_raw(struct buf *buf, const char *name, struct span json); /* well-formed already */
void json_put_time(struct buf *buf, const char *name, int64_t wall_ms); /* 0: null */
void json_put_id(struct buf *buf, const char *name, const char *prefix,
                 uint64_t id); /* 0: null; prefix without '_' */

#endif
