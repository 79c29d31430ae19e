/* version.c: the only file that is built again when the commit changes. */
#include "fcgi/version.h"

const char fcgi_version[] = FCGI_VERSION;
const char fcgi_commit[] = FCGI_COMMIT;
