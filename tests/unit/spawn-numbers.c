/* spawn-numbers: back-off, Retry-After, and the depth of a socket's queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "spawn/answer.h"
#include "spawn/spawn.h"

static void backoff(void **state)
{
    (void)state;
    assert_int_equal(spawn_workers_backoff_ms(0), 0);
    assert_int_equal(spawn_workers_backoff_ms(1), 100);
    assert_int_equal(spawn_workers_backoff_ms(2), 200);
    for (int failures = 1; failures < 100; failures++) {
        int64_t ms = spawn_workers_backoff_ms(failures);
        assert_true(ms >= spawn_workers_backoff_ms(failures - 1));
        assert_true(ms <= 10000);
    }
    assert_int_equal(spawn_workers_backoff_ms(INT32_MAX), 10000);
}

static void retry_after(void **state)
{
    (void)state;
    assert_int_equal(spawn_shed_retry_after_s(0, 0, 0), 1);
    assert_int_equal(spawn_shed_retry_after_s(128, 0, 4), 1);      /* nothing known */
    assert_int_equal(spawn_shed_retry_after_s(16, 100e3, 4), 1);   /* 0.4 s */
    assert_int_equal(spawn_shed_retry_after_s(128, 100e3, 4), 4);  /* 3.2 s */
    assert_int_equal(spawn_shed_retry_after_s(120, 100e3, 4), 3);  /* 3.0 s */
    assert_int_equal(spawn_shed_retry_after_s(128, 100e3, 0), 13); /* none ready: as if one */
    assert_int_equal(spawn_shed_retry_after_s(65535, 1e9, 1), 60); /* a minute at most */
}

/* In the abstract namespace, so that nothing is left behind; the kernel chooses a free name. */
static socklen_t bind_somewhere(int fd, struct sockaddr_un *address)
{
    socklen_t n = sizeof *address;

    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof address->sun_family), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &n), 0);
    return n;
}

static void queue_depth(void **state)
{
    enum { N = 3 };
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t n = bind_somewhere(listener, &address);
    int clients[N];
    (void)state;

    assert_int_equal(listen(listener, N), 0);
    uint64_t inode = spawn_sockets_inode(listener);
    int depth = spawn_queue_depth(inode);
    if (depth < 0) {
        print_message("sock_diag is not allowed here\n");
        close(listener);
        skip();
    }
    assert_int_equal(depth, 0);
    for (int i = 0; i < N; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i], (struct sockaddr *)&address, n), 0);
        assert_int_equal(spawn_queue_depth(inode), i + 1);
    }
    close(accept(listener, NULL, NULL));
    assert_int_equal(spawn_queue_depth(inode), N - 1);
    shutdown(listener, SHUT_RD); /* what a drain does: the rest can still be taken */
    assert_int_equal(spawn_queue_depth(inode), N - 1);
    for (int i = 0; i < N; i++)
        close(clients[i]);
    close(listener);
    assert_int_equal(spawn_queue_depth(inode), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff),
        cmocka_unit_test(retry_after),
        cmocka_unit_test(queue_depth),
    };

    return cmocka_run_group_tests_name("spawn-numbers", tests, NULL, NULL);
}
