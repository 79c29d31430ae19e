/* params.h: a request's parameters, by libfcgi. It is given the bytes that records.h has checked
 * and no others: it never sees the connection they came by, and so none of its blocking reads, its
 * waiting for a peer to hang up, or its answers to management records happen to one.
 */
#ifndef FCGI_PARAMS_H
#define FCGI_PARAMS_H

#include <fcgiapp.h>
#include <stddef.h>
#include <stdint.h>

struct fcgi_params {
    FCGX_Request fcgx; /* envp and requestId, until fcgi_params_drop() */
    int pipe[2];       /* libfcgi reads from [0] */
    size_t room;       /* bytes that fit into it */
    int broken;        /* 1: takes no more */
    int starved;       /* 1: there was no memory for the last one */
    const char *why;   /* the last one was not read */
};

int fcgi_params_open(struct fcgi_params *params); /* 0, or -1 with errno */
void fcgi_params_close(struct fcgi_params *params);

/* head: BEGIN_REQUEST and parameters, whole, without padding. Returns -1, and why, when they are
 * more than the pipe holds or there is no memory for them, which harms no other request, or when
 * libfcgi does not take them after all, and all of them: then it is broken. */
int fcgi_params_read(struct fcgi_params *params, const uint8_t *head, size_t n);
void fcgi_params_drop(struct fcgi_params *params);

#endif
