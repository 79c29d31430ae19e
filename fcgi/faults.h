/* faults.h: harm on demand, for tests. Only `make faults` builds it (build/faults/); everywhere
 * else each of these is nothing, and no trace is left in a program.
 *
 * RESNET_FAULT is KIND@PLACE, several separated by ';':
 *
 *   KIND[=N]@PLACE[~TEXT][:COUNT]
 *   KIND   sleep=MS, loop (for ever, burning CPU), segv, abrt, fail, attack=NAME (attack.h),
 *          leak=BYTES
 *   PLACE  load, selftest; read, decode, resize, write; a layer ("layer3.1": its first); * (every
 *          layer). `fail` is a memory allocation that fails at load and decode, and a wrong sum at
 *          selftest. Left out before ~TEXT, it is decode.
 *   ~TEXT  only requests whose path, query or X-Request-ID has TEXT in it
 *   :COUNT so often in all. Counted in the file that RESNET_FAULT_STATE names (made if missing),
 * for all workers together, so that a request that is tried again elsewhere can succeed; without
 *          that variable each process counts for itself.
 */
#ifndef FCGI_FAULTS_H
#define FCGI_FAULTS_H

#include "fcgi/request.h"
#include "kernels/kernels.h"

#ifdef RESNET_FAULTS

/* Reads the variables. Returns 0, or -1 with a sentence. */
int fcgi_faults_open(char text[512]);
void fcgi_faults_network(const struct kn_net *net);           /* whose layers are meant */
void fcgi_faults_request(const struct fcgi_request *request); /* which is served from now on */
void fcgi_faults_layer(int layer);                            /* does harm */
void fcgi_faults_at(const char *place);                       /* does harm */
int fcgi_faults_fail(const char *place);                      /* 1: something fails here */

#else

static inline int fcgi_faults_open(char text[512])
{
    (void)text;
    return 0;
}

static inline void fcgi_faults_network(const struct kn_net *net)
{
    (void)net;
}

static inline void fcgi_faults_request(const struct fcgi_request *request)
{
    (void)request;
}

static inline void fcgi_faults_layer(int layer)
{
    (void)layer;
}

static inline void fcgi_faults_at(const char *place)
{
    (void)place;
}

static inline int fcgi_faults_fail(const char *place)
{
    (void)place;
    return 0;
}

#endif

#endif
