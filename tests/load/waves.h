/* waves.h: load upon one URL, wave after wave. */
#ifndef TESTS_LOAD_WAVES_H
#define TESTS_LOAD_WAVES_H

#include <signal.h>

#include "tests/load/options.h"

/* Sends, shows progress, reports. Returns the program's exit status. */
int t_waves_run(const struct t_options *options, const volatile sig_atomic_t *stop);

#endif
