/* shared.h: bytes in a page that other processes read while they are written. Each is an atomic of
 * its own, so that there is no data race; which of them belong together is said by what stands
 * beside them (scoreboard.h, deaths.h): whoever sees a new byte sees what was written beside it
 * before. */
#ifndef FCGI_SHARED_H
#define FCGI_SHARED_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void fcgi_shared_put(_Atomic uint8_t *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        atomic_store_explicit(&to[i], ((const uint8_t *)from)[i], memory_order_release);
}

static inline void fcgi_shared_get(void *to, const _Atomic uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)to)[i] = atomic_load_explicit(&from[i], memory_order_acquire);
}

/* A string, cut to its place and filled up with zeros. */
static inline void fcgi_shared_put_text(_Atomic uint8_t *to, size_t size, const char *from)
{
    size_t n = strnlen(from, size - 1);

    fcgi_shared_put(to, from, n);
    for (; n < size; n++)
        atomic_store_explicit(&to[n], 0, memory_order_release);
}

/* It ends within its place, whatever its writer has done. */
static inline void fcgi_shared_get_text(char *to, size_t size, const _Atomic uint8_t *from)
{
    fcgi_shared_get(to, from, size - 1);
    to[size - 1] = 0;
}

#endif
