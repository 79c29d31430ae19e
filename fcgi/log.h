/* log.h: one line an event, UTC, logfmt or JSON, one write(2) each, to descriptor 2.
 * No allocation, no locale, no file opened. Values are quoted where they need it.
 * A log that takes nothing, because the disk is full or nobody reads the pipe, holds nobody up: its
 * lines are left out and counted, and `event=log_lost lines=N reason=...` comes before the first
 * that can be written again. */
#ifndef FCGI_LOG_H
#define FCGI_LOG_H

#include <stddef.h>

enum fcgi_log_level { FCGI_LOG_ERROR, FCGI_LOG_WARN, FCGI_LOG_INFO, FCGI_LOG_DEBUG };

/* program: "resnet-fcgi"; slot < 0 where there is none. Before the first line, and once more where
 * descriptor 2 has become something else. */
void fcgi_log_setup(const char *program, int slot, int generation, enum fcgi_log_level level,
                    int json);

/* fcgi_log(FCGI_LOG_INFO, "request", "request_id=%s ms=%.1f", id, ms): the format holds key=value
 * pairs; a value is quoted and escaped where it has blanks, quotes or control bytes, and a pair
 * whose value is empty is left out. Known conversions: %s %d %i %u %x %f %g %c, with a precision,
 * l, ll, z or j; no widths and flags. Async-signal-safe as long as neither %f nor %g is used.
 * Line: `2026-11-20T10:11:12.345Z level=info program=resnet-fcgi host=web1 slot=0 gen=1 pid=7
 * event=request request_id=... ms=12.3` */
void fcgi_log(enum fcgi_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Lines of others, each with its newline, that go where ours go. */
void fcgi_log_lines(const char *lines, size_t n);

#endif
