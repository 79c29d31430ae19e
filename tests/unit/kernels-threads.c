/* The thread pool: every share is run once, by as many threads as were asked for, and whoever has
 * nothing to do sleeps. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "kernels/threads.h"

enum { PIECES = 4, MAX_PARTS = KN_MAX_THREADS * PIECES, WAIT_MS = 60000 };

static _Atomic int calls[MAX_PARTS], wrong;

static void count(void *ctx, int thread, int threads)
{
    if (threads != *(const int *)ctx || thread < 0 || thread >= threads)
        atomic_fetch_add(&wrong, 1);
    else
        atomic_fetch_add(&calls[thread], 1);
}

static void expect_calls(int parts, int each)
{
    for (int i = 0; i < MAX_PARTS; i++)
        assert_int_equal(atomic_exchange(&calls[i], 0), i < parts ? each : 0);
    assert_int_equal(wrong, 0);
}

static void every_share_once(void **state)
{
    (void)state;
    for (int n = 1; n <= KN_MAX_THREADS; n++) {
        struct kn_threads *pool;
        assert_int_equal(kn_threads_new(&pool, n, NULL), KN_OK);
        for (int width = 1; width <= n; width++) {
            for (int i = 0; i < 500; i++)
                kn_threads_run(pool, width, count, &width);
            expect_calls(width, 500);
        }
        kn_threads_free(pool);
    }
}

/* Widths and pieces that change from run to run: late helpers meet other runs than they woke for.
 */
static void every_piece_once(void **state)
{
    (void)state;
    struct kn_threads *pool;
    assert_int_equal(kn_threads_new(&pool, KN_MAX_THREADS, NULL), KN_OK);
    for (int i = 0; i < 4000; i++) {
        int width = 2 + i * 5 % (KN_MAX_THREADS - 1), pieces = 1 + i * 7 % PIECES;
        int parts = width * pieces;
        kn_threads_split(pool, width, pieces, count, &parts);
        expect_calls(parts, 1);
    }
    kn_threads_free(pool);
}

/* Wide runs of one piece each, then narrow ones of more: who woke for the first finds its tickets
 * as they were left, and more pieces than there were. */
static void the_late_take_nothing(void **state)
{
    (void)state;
    struct kn_threads *pool;
    assert_int_equal(kn_threads_new(&pool, KN_MAX_THREADS, NULL), KN_OK);
    for (int i = 0; i < 10000; i++) {
        int width = i % 2 ? KN_MAX_THREADS : 2, pieces = i % 2 ? 1 : PIECES;
        int parts = width * pieces;
        kn_threads_split(pool, width, pieces, count, &parts);
        expect_calls(parts, 1);
    }
    kn_threads_free(pool);
}

static void more_than_there_are(void **state)
{
    (void)state;
    struct kn_threads *pool;
    int three = 3, one = 1;
    assert_int_equal(kn_threads_new(&pool, 3, NULL), KN_OK);
    kn_threads_run(pool, 8, count, &three);
    expect_calls(3, 1);
    kn_threads_free(pool);
    kn_threads_run(NULL, 4, count, &one);
    expect_calls(1, 1);
    kn_threads_free(NULL);
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

/* Waits, but not for ever, until `value` is there. */
static void wait_for(_Atomic int *counter, int value)
{
    for (int ms = 0; atomic_load(counter) < value; ms++) {
        if (ms == WAIT_MS) {
            atomic_fetch_add(&wrong, 1);
            return;
        }
        pause_ms(1);
    }
}

/* One share lasts until all others are done. */
static void hold_one(void *ctx, int part, int parts)
{
    _Atomic int *done = ctx;
    if (part == parts / 2)
        wait_for(done, parts - 1);
    atomic_fetch_add(done, 1);
}

static void a_held_up_thread_holds_up_its_share_only(void **state)
{
    (void)state;
    struct kn_threads *pool;
    assert_int_equal(kn_threads_new(&pool, 2, NULL), KN_OK);
    for (int i = 0; i < 20 && wrong == 0; i++) {
        _Atomic int done = 0;
        kn_threads_split(pool, 2, PIECES, hold_one, &done);
        assert_int_equal(done, 2 * PIECES);
    }
    kn_threads_free(pool);
    assert_int_equal(wrong, 0);
}

/* Rings after everyone went to sleep, and at every moment while they do. */
static void nobody_misses_a_call(void **state)
{
    (void)state;
    struct kn_threads *pool;
    int four = 4;
    assert_int_equal(kn_threads_new(&pool, 4, NULL), KN_OK);
    for (int i = 0; i < 400; i++) {
        struct timespec t = {.tv_nsec = i * 250};
        nanosleep(&t, NULL);
        kn_threads_run(pool, four, count, &four);
    }
    pause_ms(50);
    kn_threads_run(pool, four, count, &four);
    expect_calls(4, 401);
    kn_threads_free(pool);
}

static long cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* Ends when all have begun: so each is a thread that has started. */
static void meet(void *ctx, int part, int parts)
{
    (void)part;
    atomic_fetch_add((_Atomic int *)ctx, 1);
    wait_for(ctx, parts);
}

static void idle_threads_sleep(void **state)
{
    (void)state;
    struct kn_threads *pool;
    _Atomic int here = 0;
    assert_int_equal(kn_threads_new(&pool, 8, NULL), KN_OK);
    kn_threads_run(pool, 8, meet, &here);
    pause_ms(100);
    long before = cpu_ns();
    pause_ms(400);
    assert_true(cpu_ns() - before < 20000000); /* seven that spin would burn 400 ms or more */
    kn_threads_free(pool);
    assert_int_equal(wrong, 0);
}

struct masks {
    pthread_t caller;
    sigset_t caller_s, helper_s;
    _Atomic int here;
};

/* Both are here before either leaves: so there are two threads. */
static void see_mask(void *ctx, int part, int parts)
{
    struct masks *m = ctx;
    int helper = !pthread_equal(pthread_self(), m->caller);
    (void)part;
    pthread_sigmask(SIG_SETMASK, NULL, helper ? &m->helper_s : &m->caller_s);
    atomic_fetch_add(&m->here, 1);
    wait_for(&m->here, parts);
}

/* A signal is the caller's: the worker takes it by signalfd. */
static void helpers_block_signals(void **state)
{
    (void)state;
    struct masks m = {.caller = pthread_self()};
    struct kn_threads *pool;
    assert_int_equal(kn_threads_new(&pool, 2, NULL), KN_OK);
    kn_threads_run(pool, 2, see_mask, &m);
    kn_threads_free(pool);
    assert_int_equal(wrong, 0);
    assert_int_equal(sigismember(&m.caller_s, SIGTERM), 0);
    assert_int_equal(sigismember(&m.helper_s, SIGTERM), 1);
    assert_int_equal(sigismember(&m.helper_s, SIGHUP), 1);
    assert_int_equal(sigismember(&m.helper_s, SIGSEGV), 0); /* its own fault is reported */
}

static void parts_cover_everything(void **state)
{
    (void)state;
    for (long n = 0; n < 70; n++)
        for (int threads = 1; threads <= 8; threads++) {
            long at = 0;
            for (int i = 0; i < threads; i++) {
                long from, to;
                kn_threads_part(n, i, threads, &from, &to);
                assert_int_equal(from, at);
                assert_true(to - from == n / threads || to - from == n / threads + 1);
                at = to;
            }
            assert_int_equal(at, n);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_share_once),
        cmocka_unit_test(more_than_there_are),
        cmocka_unit_test(every_piece_once),
        cmocka_unit_test(the_late_take_nothing),
        cmocka_unit_test(a_held_up_thread_holds_up_its_share_only),
        cmocka_unit_test(nobody_misses_a_call),
        cmocka_unit_test(idle_threads_sleep),
        cmocka_unit_test(helpers_block_signals),
        cmocka_unit_test(parts_cover_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
