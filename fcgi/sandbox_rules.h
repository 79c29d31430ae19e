/* sandbox_rules.h: the table of system calls behind sandbox.h. */
#ifndef FCGI_SANDBOX_RULES_H
#define FCGI_SANDBOX_RULES_H

#include "fcgi/sandbox.h"

/* Makes the filter and puts all threads under it. Returns 0, or an errno. */
int fcgi_sandbox_rules_load(const struct fcgi_sandbox *sandbox);

/* "openat"; "?" where nothing was loaded, or the number is not known. For signal handlers. */
const char *fcgi_sandbox_syscall_name(int number);

#endif
