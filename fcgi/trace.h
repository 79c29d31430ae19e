/* trace.h: the traceparent header of W3C's Trace Context, which ties our log lines to a trace. */
#ifndef FCGI_TRACE_H
#define FCGI_TRACE_H

enum { FCGI_TRACE_BYTES = 55 }; /* "00-" 32 hex digits "-" 16 "-" 2; later versions may add to it */

/* 1 if text begins as a traceparent of any known or later version does: lower-case hex digits,
 * version not ff, neither id all zeros, and of version 00 nothing behind the flags. */
int fcgi_trace_is_parent(const char *text);

#endif
