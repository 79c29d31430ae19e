/* request.h: a request's parameters, from what the web server says about it. */
#ifndef FCGI_REQUEST_H
#define FCGI_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "fcgi/errors.h"
#include "fcgi/wall.h"

enum { FCGI_REQUEST_MAX_ID = 128 };

/* Pointers are into the parameters, which live as long as the request; never NULL. */
struct fcgi_request {
    const char *method, *path, *query, *content_type, *content_encoding;
    const char *inference_header_length; /* as sent; "": none */
    int64_t content_length;              /* -1: not said */
    char path_copy[1024];                /* where path points when a query had to be cut off */
    char id[FCGI_REQUEST_MAX_ID + 1];
    const char *traceparent; /* W3C Trace Context; "" unless well-formed */
    char nginx_id[33];       /* empty without nginx */
    int64_t age_ms;          /* since nginx passed it on; 0 when that is not known */
    int clock_stepped;       /* 1: nginx's time tells nothing: wall.h */
    int64_t budget_ms;       /* the client's, if smaller than the server's */
    uint64_t deadline_ns;    /* CLOCK_MONOTONIC */
};

/* What is known besides the parameters. */
struct fcgi_request_context {
    int64_t wall_ms;       /* now, since 1970 */
    uint64_t accepted_ns;  /* the same moment, CLOCK_MONOTONIC */
    struct fcgi_wall wall; /* what is known of the first beside the second */
    int64_t timeout_ms;    /* RESNET_REQUEST_TIMEOUT */
    const char *own_id;    /* for requests that bring none */
};

/* envp: "NAME=value" strings, ended by NULL. Every member of request is set even when this fails:
 * the answer needs an id. Errors: BAD_REQUEST. */
int fcgi_request_parse(struct fcgi_request *request, char **envp,
                       const struct fcgi_request_context *context, struct fcgi_err *err);

/* The same for one part each, over (bytes, length); 0, or -1 when malformed. */
int fcgi_request_number(const char *text, size_t n, int64_t max, int64_t *number);
int fcgi_request_msec(const char *text, size_t n, int64_t *ms); /* nginx's "1700000000.123" */
int fcgi_request_is_id(const char *text, size_t n);             /* 8..128 of [A-Za-z0-9._-] */

/* Walks "a=1&b=2": the next name and value at *query, which moves on. 0 at the end. */
struct fcgi_request_pair {
    const char *name, *value;
    size_t name_n, value_n;
};
int fcgi_request_query(const char **query, struct fcgi_request_pair *pair);

#endif
