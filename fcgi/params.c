/* params.c: libfcgi at the end of a pipe. */
#include "fcgi/params.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/memory.h"
#include "fcgi/records.h"

/* libfcgi ends the process where it gets no memory: of malloc's steps, and of a block for each
 * parameter, which takes two bytes at least. */
static int has_memory(size_t n)
{
    enum { STEPS_BYTES = 2 << 20, BYTES_A_BYTE = 32 };

    return fcgi_memory_has(STEPS_BYTES + (uint64_t)n * BYTES_A_BYTE);
}

int fcgi_params_open(struct fcgi_params *params)
{
    memset(params, 0, sizeof *params);
    params->pipe[0] = params->pipe[1] = -1;
    if (pipe2(params->pipe, O_CLOEXEC))
        return -1;
    /* 64 KiB usually, two pages for who has many pipes already: then this may fail */
    fcntl(params->pipe[1], F_SETPIPE_SZ, 2 * FCGI_RECORDS_MAX_HEAD);
    int room = fcntl(params->pipe[1], F_GETPIPE_SZ);
    params->room = room > 0 ? (size_t)room : 0;
    fcntl(params->pipe[1], F_SETFL, O_NONBLOCK); /* nobody would read while it waits */
    if (FCGX_Init() || FCGX_InitRequest(&params->fcgx, -1, 0)) {
        fcgi_params_close(params);
        errno = ENOMEM;
        return -1;
    }
    params->fcgx.ipcFd = -1;
    return 0;
}

void fcgi_params_close(struct fcgi_params *params)
{
    for (int i = 0; i < 2; i++)
        if (params->pipe[i] >= 0)
            close(params->pipe[i]);
    params->pipe[0] = params->pipe[1] = -1;
}

void fcgi_params_drop(struct fcgi_params *params)
{
    FCGX_Free(&params->fcgx, 0);
    params->fcgx.ipcFd = -1;
}

/* What is left would be the next request's beginning. */
static int is_empty(int fd)
{
    struct pollfd end = {.fd = fd, .events = POLLIN};

    return poll(&end, 1, 0) == 0;
}

/* One that it does not like it closes; keepConnection: no other. */
int fcgi_params_read(struct fcgi_params *params, const uint8_t *head, size_t n)
{
    params->why = "more parameters than fit into a pipe here";
    if (n > params->room)
        return -1;
    params->why = "no memory is left for parameters";
    params->starved = !has_memory(n);
    if (params->starved)
        return -1;
    params->why = "libfcgi does not take what was checked";
    params->broken = 1;
    if (write(params->pipe[1], head, n) != (ssize_t)n)
        return -1;
    params->fcgx.ipcFd = params->pipe[0];
    params->fcgx.keepConnection = 1;
    params->broken = FCGX_Accept_r(&params->fcgx) != 0;
    if (params->broken) {
        params->pipe[0] = params->fcgx.ipcFd;
        return -1;
    }
    params->broken = !is_empty(params->pipe[0]);
    if (params->broken)
        fcgi_params_drop(params);
    return params->broken ? -1 : 0;
}
