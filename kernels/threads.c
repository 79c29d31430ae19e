/* threads.c: each helper sleeps on a word of its own, so that a layer wakes as many as it wants.
 *
 * Shares are dealt out beforehand, so that a thread finds what it wrote in its own cache, and taken
 * one by one, so that none waits for a thread whose core others have: whoever is through goes on
 * with what the next one has not begun. A ticket names the run that it belongs to and says itself
 * how many of its shares are left; a helper that wakes up late finds none of its run left, whatever
 * else it has read, and touches nothing.
 *
 * Layers follow each other within microseconds, so whoever waits spins for SPIN_NS first, and then
 * sleeps in the kernel (futex); an idle process burns nothing. */
#include "kernels/threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    SPIN_NS = 20000,   /* about what a sleep and a wake-up cost */
    SPINS = 16,        /* between two looks at the clock */
    STACK = 256 * 1024 /* bytes: kernels keep a few kilobytes on it */
};

/* What a waiting thread sleeps on. */
struct bell {
    _Atomic unsigned value;
    _Atomic int asleep;
};

/* Shares of one thread: the run's number in the upper half, how many are not taken in the lower. */
struct ticket {
    _Alignas(KN_ALIGN) _Atomic uint64_t rest;
};

struct helper {
    _Alignas(KN_ALIGN) struct bell go; /* value changes when there is something to run */
    struct kn_threads *pool;
    pthread_t thread;
    int number;
};

struct kn_threads {
    int n; /* helpers that were started, and the caller */
    /* What is run; a late helper may read it while the next run is set up. */
    _Atomic(kn_share_fn *) share;
    _Atomic(void *) ctx;
    _Atomic int width, pieces;
    _Atomic uint32_t run; /* its number */
    _Atomic int ending;
    _Alignas(KN_ALIGN) struct bell left; /* shares that are not done */
    struct ticket ticket[KN_MAX_THREADS];
    struct helper helper[KN_MAX_THREADS - 1];
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void futex(struct bell *bell, int op, unsigned value)
{
    syscall(SYS_futex, &bell->value, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Returns when the bell's value is (equal ? : not) `value`. */
static void await(struct bell *bell, unsigned value, int equal)
{
    long end = 0;
    unsigned v;

    for (int i = 1; ((v = atomic_load(&bell->value)) == value) != equal; i++) {
        if (i % SPINS != 0) {
            relax();
            continue;
        }
        long now = now_ns();
        end = end ? end : now + SPIN_NS;
        if (now < end)
            continue;
        atomic_store(&bell->asleep, 1);
        futex(bell, FUTEX_WAIT, v);
        atomic_store(&bell->asleep, 0);
    }
}

/* After a change of value. The waiter says that it sleeps before the kernel compares the value, and
 * the value changed before this looks: one of the two sees the other. */
static void ring(struct bell *bell)
{
    if (atomic_load(&bell->asleep))
        futex(bell, FUTEX_WAKE, 1);
}

/* How many of those shares are left, the one that the caller now has among them; 0: none. */
static int take(struct ticket *ticket, uint32_t run)
{
    uint64_t rest = atomic_load(&ticket->rest);

    while (rest >> 32 == run && (uint32_t)rest > 0)
        if (atomic_compare_exchange_weak(&ticket->rest, &rest, rest - 1))
            return (int)(uint32_t)rest;
    return 0;
}

/* Whoever gets a ticket of this run knows that it is not over, hence that what was read of it
 * before was of this run, too. */
static void work(struct kn_threads *pool, int thread)
{
    uint32_t run = atomic_load(&pool->run);
    kn_share_fn *share = atomic_load(&pool->share);
    void *ctx = atomic_load(&pool->ctx);
    int width = atomic_load(&pool->width), pieces = atomic_load(&pool->pieces);

    for (int i = 0; i < width; i++) {
        int owner = (thread + i) % width, rest;
        while ((rest = take(&pool->ticket[owner], run)) > 0) {
            share(ctx, owner * pieces + pieces - rest, width * pieces);
            if (atomic_fetch_sub(&pool->left.value, 1) == 1)
                ring(&pool->left);
        }
    }
}

static void *help(void *argument)
{
    struct helper *h = argument;

    for (unsigned seen = 0;;) {
        await(&h->go, seen, 0);
        seen = atomic_load(&h->go.value);
        if (atomic_load(&h->pool->ending))
            return NULL;
        work(h->pool, h->number);
    }
}

static int start(struct helper *h)
{
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return rc;
    rc = pthread_attr_setstacksize(&attr, STACK);
    if (rc == 0)
        rc = pthread_create(&h->thread, &attr, help, h);
    pthread_attr_destroy(&attr);
    return rc;
}

/* A fault of a helper's own is for whoever handles the process's faults; all else is the caller's.
 */
static void block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP};
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&set, faults[i]);
    pthread_sigmask(SIG_SETMASK, &set, before);
}

int kn_threads_new(struct kn_threads **out, int n, struct kn_err *err)
{
    sigset_t before;
    int rc = 0;

    *out = NULL;
    struct kn_threads *pool = aligned_alloc(KN_ALIGN, sizeof *pool);
    if (pool == NULL)
        return kn_fail(err, KN_ENOMEM, "threads: no memory for %zu bytes", sizeof *pool);
    memset(pool, 0, sizeof *pool);
    block_signals(&before);
    for (pool->n = 1; pool->n < n; pool->n++) {
        struct helper *h = &pool->helper[pool->n - 1];
        h->pool = pool;
        h->number = pool->n;
        rc = start(h);
        if (rc != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        kn_fail(err, KN_ETHREADS, "threads: %d wanted, %d started, then: %s", n, pool->n,
                strerror(rc));
        kn_threads_free(pool);
        return KN_ETHREADS;
    }
    *out = pool;
    return KN_OK;
}

static void call(struct kn_threads *pool, int helpers)
{
    for (int i = 0; i < helpers; i++) {
        atomic_fetch_add(&pool->helper[i].go.value, 1);
        ring(&pool->helper[i].go);
    }
}

void kn_threads_free(struct kn_threads *pool)
{
    if (pool == NULL)
        return;
    atomic_store(&pool->ending, 1);
    call(pool, pool->n - 1);
    for (int i = 0; i < pool->n - 1; i++)
        pthread_join(pool->helper[i].thread, NULL);
    free(pool);
}

/* No ticket has a share left while this runs. Those of the width get some when all is set. */
static void set_up(struct kn_threads *pool, int width, int pieces, kn_share_fn *share, void *ctx)
{
    uint32_t run = atomic_load(&pool->run) + 1;

    atomic_store(&pool->share, share);
    atomic_store(&pool->ctx, ctx);
    atomic_store(&pool->width, width);
    atomic_store(&pool->pieces, pieces);
    atomic_store(&pool->left.value, (unsigned)(width * pieces));
    atomic_store(&pool->run, run);
    for (int i = 0; i < width; i++)
        atomic_store(&pool->ticket[i].rest, (uint64_t)run << 32 | (uint32_t)pieces);
}

void kn_threads_split(struct kn_threads *pool, int width, int pieces, kn_share_fn *share, void *ctx)
{
    if (pool == NULL || width <= 1) {
        share(ctx, 0, 1);
        return;
    }
    width = width < pool->n ? width : pool->n;
    set_up(pool, width, pieces, share, ctx);
    call(pool, width - 1);
    work(pool, 0);
    await(&pool->left, 0, 1);
}

void kn_threads_run(struct kn_threads *pool, int width, kn_share_fn *share, void *ctx)
{
    kn_threads_split(pool, width, 1, share, ctx);
}
