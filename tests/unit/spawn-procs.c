/* Processes as /proc shows them: this one, and a child with an awkward name. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "spawn/procs.h"

static const char awkward[] = "a) S 1 (b";

/* A child of that name, which waits to be killed. */
static pid_t start_child(void)
{
    int ends[2];
    char byte;

    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, awkward);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(ends[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
}

static void children_by_name(void **state)
{
    pid_t child = start_child();

    (void)state;
    assert_int_equal(spawn_procs_child(getpid(), awkward), child);
    assert_int_equal(spawn_procs_child(getpid(), "a"), 0);
    assert_int_equal(spawn_procs_child(child, awkward), 0);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(spawn_procs_child(getpid(), awkward), 0);
    char text[16];
    assert_int_equal(spawn_procs_read(child, "stat", text, sizeof text), -1);
    assert_int_equal(spawn_procs_started_s(child), -1);
}

static void when_it_started(void **state)
{
    pid_t child = start_child();
    int64_t own_s = spawn_procs_started_s(getpid()), child_s = spawn_procs_started_s(child);

    (void)state;
    assert_true(own_s > 0 && own_s <= child_s);
    assert_true(child_s <= time(NULL) + 2);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void who_it_is(void **state)
{
    struct spawn_identity identity;
    gid_t groups[64];
    int n = getgroups(64, groups);

    (void)state;
    assert_int_equal(spawn_procs_identity(getpid(), &identity), 0);
    assert_int_equal(identity.uid, geteuid());
    assert_int_equal(identity.groups[0], getegid());
    for (int i = 0; i < n && i + 1 < identity.n_groups; i++)
        assert_int_equal(identity.groups[i + 1], groups[i]);
    assert_true(identity.n_groups >= (n < 63 ? n + 1 : 64));
    char text[8];
    assert_int_equal(spawn_procs_read(getpid(), "status", text, sizeof text), 7); /* cut to fit */
    assert_string_equal(text, "Name:\tu");
}

static void what_a_program_prints(void **state)
{
    static const char *const both[] = {"sh", "-c", "echo one; echo two >&2; exit 3", NULL};
    static const char *const much[] = {"sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x", NULL};
    static const char *const none[] = {"/nowhere/program", NULL};
    char out[64];

    (void)state;
    assert_int_equal(spawn_procs_run(both, out, sizeof out), 3);
    assert_string_equal(out, "one\ntwo\n");
    assert_int_equal(spawn_procs_run(much, out, sizeof out), 0); /* read to its end all the same */
    assert_int_equal(strlen(out), sizeof out - 1);
    assert_int_equal(spawn_procs_run(none, out, sizeof out), 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_by_name),
        cmocka_unit_test(when_it_started),
        cmocka_unit_test(who_it_is),
        cmocka_unit_test(what_a_program_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
