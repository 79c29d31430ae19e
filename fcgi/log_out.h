/* log_out.h: lines to descriptor 2, which may be full, broken, or read by nobody. Whoever logs goes
 * on: a line that finds no room is left out, and the caller told. Async-signal-safe. */
#ifndef FCGI_LOG_OUT_H
#define FCGI_LOG_OUT_H

#include <stddef.h>

/* Looks at what descriptor 2 is now. A pipe is opened once more, for this process alone, so that a
 * write into it never blocks; where that is not allowed, it is asked before each write. */
void fcgi_log_out_open(void);

/* Whole lines, each with its newline. A pipe or socket that is full is given wait_ms to take them.
 * Returns how many bytes at the end were not written, with errno; a line that was cut in two is
 * ended before the next begins. */
size_t fcgi_log_out_write(const char *lines, size_t n, int wait_ms);

#endif
