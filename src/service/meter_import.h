/* Keys that were issued elsewhere, for the meter's own files. Loop thread. */
#ifndef KEYMETER_SERVICE_METER_IMPORT_H
#define KEYMETER_SERVICE_METER_IMPORT_H

#include "crypto/import_hash.h"

struct key_load_row;
struct meter;
struct meter_load;

/* There are imports: from now on no text is denied for its form alone. */
void imports_known(struct meter *meter);
/* What the text may have been imported as, for a load of it. */
void import_alternates(struct meter *meter, struct meter_load *load, struct span text);
/* Takes the sources over, and leaves none behind. */
void sources_install(struct meter *meter, struct import_sources *sources);
/* Has an imported hash, by which a load has found a key, replaced by our own. */
void import_replace_soon(struct meter *meter, const struct key_load_row *row);

#endif
