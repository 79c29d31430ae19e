/* Waiting for connections: peers that are silent, slow, or no FastCGI, and the word to leave. */
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/accept.h"
#include "fcgi/config.h"
#include "fcgi/log.h"
#include "fcgi/scoreboard.h"

static char dir[] = "/tmp/resnet-accept.XXXXXX", text[512];
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct fcgi_accept waiter;
static int listener;

static int open_listener(void **state)
{
    (void)state;
    strcpy(dir + strlen(dir) - 6, "XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", dir);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(fcgi_accept_open(&waiter, listener, text), 0);
    waiter.timeout_ms = 100;
    return 0;
}

static int close_listener(void **state)
{
    (void)state;
    fcgi_accept_close(&waiter);
    close(listener);
    unlink(address.sun_path);
    return rmdir(dir);
}

static const uint8_t head[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0,   0,
                               0, 0, 0, 0,                             /* BEGIN_REQUEST */
                               1, 4, 0, 1, 0, 4, 0, 0, 1, 1, 'A', 'b', /* PARAMS */
                               1, 4, 0, 1, 0, 0, 0, 0};

static int connect_and_send(size_t n)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_true(send(fd, head, n, MSG_NOSIGNAL) == (ssize_t)n);
    return fd;
}

static uint64_t now_ms(void)
{
    return fcgi_scoreboard_now_ns() / 1000000;
}

/* Peers that never say enough come first; the good one behind them is served all the same. */
static void bad_peers_do_not_hold_it(void **state)
{
    uint64_t accepted_ns, before_ms = now_ms();
    int silent = connect_and_send(0), three = connect_and_send(3),
        cut = connect_and_send(sizeof head - 1), gone = connect_and_send(5);

    (void)state;
    close(gone);
    int good = connect_and_send(sizeof head), fd = fcgi_accept_next(&waiter, &accepted_ns);
    assert_true(fd >= 0);
    assert_true(now_ms() - before_ms < 30000); /* three time-outs of 100 ms, generously */
    uint8_t got;
    assert_int_equal(waiter.head_n, sizeof head); /* taken, and no more than that */
    assert_memory_equal(waiter.head, head, sizeof head);
    assert_int_equal(send(good, "S", 1, 0), 1);
    assert_true(recv(fd, &got, 1, 0) == 1 && got == 'S');
    assert_int_equal(recv(silent, &got, 1, 0), 0); /* closed */
    close(fd);
    close(good);
    close(silent);
    close(three);
    close(cut);
}

/* The end is behind bytes that are only looked at: it is seen all the same, at once and when it
 * comes later. */
static void *leave_later(void *ctx)
{
    usleep(50000);
    close(*(int *)ctx);
    return NULL;
}

static void who_left_in_the_middle_is_not_waited_for(void **state)
{
    uint64_t accepted_ns;
    pthread_t thread;
    int left = connect_and_send(sizeof head - 1), half = connect_and_send(3),
        later = connect_and_send(sizeof head - 9);

    (void)state;
    waiter.timeout_ms = 3600000;
    close(left);
    assert_int_equal(shutdown(half, SHUT_WR), 0);
    assert_int_equal(pthread_create(&thread, NULL, leave_later, &later), 0);
    int good = connect_and_send(sizeof head);
    assert_int_equal(shutdown(good, SHUT_WR), 0); /* this one has said all */
    int fd = fcgi_accept_next(&waiter, &accepted_ns);
    assert_true(fd >= 0);
    pthread_join(thread, NULL);
    close(fd);
    close(good);
    close(half);
}

static void *send_slowly(void *ctx)
{
    int fd = connect_and_send(1);

    (void)ctx;
    for (size_t i = 1; i < sizeof head; i++) {
        usleep(1000);
        send(fd, head + i, 1, MSG_NOSIGNAL);
    }
    return (void *)(intptr_t)fd;
}

static void slow_but_in_time(void **state)
{
    uint64_t accepted_ns;
    pthread_t thread;
    void *peer;

    (void)state;
    waiter.timeout_ms = 20000;
    assert_int_equal(pthread_create(&thread, NULL, send_slowly, NULL), 0);
    int fd = fcgi_accept_next(&waiter, &accepted_ns);
    pthread_join(thread, &peer);
    assert_true(fd >= 0);
    close(fd);
    close((int)(intptr_t)peer);
}

static void a_management_record(void **state)
{
    static const uint8_t get_values[] = {1, 9, 0, 0, 0, 2, 0, 0, 0, 0};
    uint64_t accepted_ns;
    int bad = connect_and_send(0);

    (void)state;
    assert_int_equal(send(bad, get_values, sizeof get_values, 0), sizeof get_values);
    int good = connect_and_send(sizeof head), fd = fcgi_accept_next(&waiter, &accepted_ns);
    uint8_t byte;
    assert_true(fd >= 0);
    assert_true(recv(bad, &byte, 1, 0) <= 0);
    close(fd);
    close(good);
    close(bad);
}

/* A signal that comes while nobody waits is not lost, and the queue is left to others. */
static void leave_when_told(void **state)
{
    uint64_t accepted_ns;
    int queued = connect_and_send(sizeof head);

    (void)state;
    assert_false(fcgi_accept_must_leave(&waiter));
    raise(SIGTERM);
    assert_true(fcgi_accept_must_leave(&waiter));
    assert_int_equal(fcgi_accept_next(&waiter, &accepted_ns), -1);
    waiter.leaves = 0;
    int fd = fcgi_accept_next(&waiter, &accepted_ns);
    assert_true(fd >= 0);
    close(fd);
    close(queued);
}

/* What a worker hears when its supervisor dies. */
static void leave_when_empty(void **state)
{
    uint64_t accepted_ns;
    int queued[] = {connect_and_send(sizeof head), connect_and_send(sizeof head)};

    (void)state;
    raise(SIGUSR2);
    for (int i = 0; i < 2; i++) {
        int fd = fcgi_accept_next(&waiter, &accepted_ns);
        assert_true(fd >= 0);
        close(fd);
        close(queued[i]);
    }
    assert_int_equal(fcgi_accept_next(&waiter, &accepted_ns), -1);
}

/* The supervisor's way to end: what is queued is served, then it is over. */
static void a_socket_shut_down(void **state)
{
    uint64_t accepted_ns;
    int queued = connect_and_send(sizeof head);

    (void)state;
    assert_int_equal(shutdown(listener, SHUT_RD), 0);
    int fd = fcgi_accept_next(&waiter, &accepted_ns);
    assert_true(fd >= 0);
    assert_int_equal(fcgi_accept_next(&waiter, &accepted_ns), -1);
    close(fd);
    close(queued);
}

static void only_a_listening_unix_socket(void **state)
{
    struct fcgi_accept other;
    struct sockaddr_in loopback = {.sin_family = AF_INET};
    int tcp = socket(AF_INET, SOCK_STREAM, 0), fds[2];

    (void)state;
    loopback.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcgi_accept_open(&other, fds[0], text), FCGI_EXIT_USAGE);
    assert_non_null(strstr(text, "spawn-fcgi -s /run/resnet-fcgi/work.sock"));
    assert_int_equal(bind(tcp, (struct sockaddr *)&loopback, sizeof loopback), 0);
    assert_int_equal(fcgi_accept_open(&other, tcp, text), FCGI_EXIT_USAGE); /* not listening */
    assert_int_equal(listen(tcp, 1), 0);
    assert_int_equal(fcgi_accept_open(&other, tcp, text), FCGI_EXIT_CONFIG);
    assert_non_null(strstr(text, "use a unix socket"));
    close(tcp);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bad_peers_do_not_hold_it, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(who_left_in_the_middle_is_not_waited_for, open_listener,
                                        close_listener),
        cmocka_unit_test_setup_teardown(slow_but_in_time, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(a_management_record, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(leave_when_told, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(leave_when_empty, open_listener, close_listener),
        cmocka_unit_test_setup_teardown(a_socket_shut_down, open_listener, close_listener),
        cmocka_unit_test(only_a_listening_unix_socket),
    };
    fcgi_accept_block_signals();
    fcgi_log_setup("test", -1, 0, FCGI_LOG_ERROR, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
