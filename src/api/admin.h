/* The handlers of the dashboard's pages (api/admin_routes.c). A page's function `…_page` makes it
 * without showing it, for its own handler and for forms that show it again. Loop thread. */
#ifndef KEYMETER_API_ADMIN_H
#define KEYMETER_API_ADMIN_H

#include "io/http.h"

/* admin_sign_in.c */
http_handler handle_admin_sign_in_page, handle_admin_sign_in, handle_admin_code_page,
    handle_admin_code, handle_admin_sign_out;
/* admin_join.c */
http_handler handle_admin_join_page, handle_admin_join;
/* admin_overview.c */
http_handler handle_admin_overview;
/* admin_keys.c, admin_key_forms.c */
http_handler handle_admin_keys, handle_admin_key, handle_admin_key_new, handle_admin_key_create,
    handle_admin_key_edit_page, handle_admin_key_edit, handle_admin_key_rotate,
    handle_admin_key_regenerate, handle_admin_key_postpone, handle_admin_key_end_overlap,
    handle_admin_key_resend, handle_admin_key_disable, handle_admin_key_enable,
    handle_admin_key_revoke;
/* admin_customers.c, admin_tiers.c */
http_handler handle_admin_customers, handle_admin_customer, handle_admin_customer_edit,
    handle_admin_customer_tier, handle_admin_customer_approve, handle_admin_customer_portal,
    handle_admin_customer_erase, handle_admin_tiers, handle_admin_tier, handle_admin_tier_save,
    handle_admin_tier_new, handle_admin_tier_create;
/* admin_lists.c, admin_settings.c */
http_handler handle_admin_rotations, handle_admin_notifications, handle_admin_notification_retry,
    handle_admin_alerts, handle_admin_alert_ack, handle_admin_audit, handle_admin_tokens,
    handle_admin_token_create, handle_admin_token_revoke, handle_admin_settings;
/* admin_audit.c, admin_export.c, admin_mails.c, admin_import.c */
http_handler handle_admin_audit_verify, handle_admin_audit_export, handle_admin_mail_preview,
    handle_admin_import_page, handle_admin_import;
/* admin_reconcile.c, admin_rotate.c */
http_handler handle_admin_reconcile_page, handle_admin_reconcile, handle_admin_rotate_page,
    handle_admin_rotate;
/* admin_people.c */
http_handler handle_admin_admins, handle_admin_invite, handle_admin_reset, handle_admin_role,
    handle_admin_disable, handle_admin_enable, handle_admin_withdraw;
/* admin_account.c */
http_handler handle_admin_account, handle_admin_password, handle_admin_code_on,
    handle_admin_code_off, handle_admin_session_end, handle_admin_sessions_end;

#endif
