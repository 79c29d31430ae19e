/* version.c: built again when the commit changes, and only this. */
#include "weights/version.h"

const char wt_version[] = WT_VERSION;
const char wt_commit[] = WT_COMMIT;
