/* New secrets for a key that stands: rotation with an overlap, its end, and regeneration. */
#ifndef KEYMETER_SERVICE_ROTATE_H
#define KEYMETER_SERVICE_ROTATE_H

#include "service/key_change.h"

enum { ROTATE_GRACE_DEFAULT_S = 86400, ROTATE_GRACE_MAX_S = 2592000 };

struct rotate {
    struct key_change change;
    uint32_t grace_s;
};
/* Both secrets work until grace_s from now; 409 rotation_in_progress during an overlap. By mail
 * without a key to encrypt to: as a scheduled rotation, until the claim link was used. */
void rotate_init(struct rotate *rotate, uint32_t grace_s);
/* The older secrets are dead when it is done; nothing to do is no error. */
void rotate_end_init(struct key_change *change);
/* One new secret; all older ones are dead when it is done. */
void regenerate_init(struct key_change *change);

enum { POSTPONE_DAYS_MAX = 3650 };
struct postpone {
    struct key_change change;
    uint32_t days;
};
/* The rotation to come is so many days later; one that was announced for a date before is announced
 * again. 409 no_rotation_pending. */
void postpone_init(struct postpone *postpone, uint32_t days);

#endif
