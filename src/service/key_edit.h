/* Editing a key, and its status: PATCH, revoke, disable, enable. */
#ifndef KEYMETER_SERVICE_KEY_EDIT_H
#define KEYMETER_SERVICE_KEY_EDIT_H

#include "service/issue.h"
#include "service/precondition.h"

/* NULL, or has_… false: left as it is. */
struct key_edit {
    struct key_change change;
    struct precondition precondition;
    struct key_settings settings; /* title, description, permissions, networks, metadata */
    bool has_expires_at;          /* settings.expires_at 0: never any more */
    bool has_rotation;            /* settings.rotation_off */
    bool has_rate_limits;
    bool has_cap; /* settings.has_monthly_cap false: none any more */
};
void key_edit_init(struct key_edit *edit);

enum key_state { KEY_STATE_REVOKE, KEY_STATE_DISABLE, KEY_STATE_ENABLE };
struct key_state_change {
    struct key_change change;
    enum key_state state;
};
/* Idempotent; revoking is final. */
void key_state_init(struct key_state_change *change, enum key_state state);

#endif
