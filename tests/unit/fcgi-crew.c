/* Who is busy, and how the cores are divided: also after somebody was killed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/crew.h"

enum { SLOTS = 10, CORES = 4 };

static struct fcgi_crew *new_crew(int *fd)
{
    *fd = fcgi_crew_create(SLOTS);
    assert_true(*fd >= 0);
    struct fcgi_crew *crew = fcgi_crew_map(*fd);
    assert_non_null(crew);
    return crew;
}

static void a_page_is_known(void **state)
{
    int fd, other = memfd_create("other", MFD_CLOEXEC);
    struct fcgi_crew *crew = new_crew(&fd);

    (void)state;
    assert_null(fcgi_crew_map(other)); /* empty */
    assert_null(fcgi_crew_map(-1));
    assert_int_equal(ftruncate(other, FCGI_CREW_BYTES), 0);
    fcgi_crew_unmap(crew);
    fcgi_crew_unmap(NULL);
    close(fd);
    close(other);
}

/* As of a worker that was taken over: the others read nothing past the page, and can be started. */
static void rubbish_costs_speed_alone(void **state)
{
    int fd;
    struct fcgi_crew *crew = new_crew(&fd);
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *bytes =
        mmap(NULL, FCGI_CREW_BYTES + page_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(bytes != MAP_FAILED);
    assert_true(mmap(bytes, FCGI_CREW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                     0) == bytes);
    for (int byte = 0; byte < 256; byte++) {
        memset(crew, byte, FCGI_CREW_BYTES);
        int threads = fcgi_crew_threads((struct fcgi_crew *)bytes, 3, CORES, 8);
        assert_in_range(threads, 1, CORES);
        struct fcgi_crew *again = fcgi_crew_map(fd);
        assert_non_null(again);
        fcgi_crew_unmap(again);
    }
    munmap(bytes, FCGI_CREW_BYTES + page_bytes);
    fcgi_crew_unmap(crew);
    close(fd);
}

static void one_alone_takes_all(void **state)
{
    int fd;
    struct fcgi_crew *crew = new_crew(&fd);

    (void)state;
    assert_int_equal(fcgi_crew_threads(crew, 3, CORES, 8), CORES); /* told or not */
    fcgi_crew_set(crew, 3, 1);
    assert_int_equal(fcgi_crew_threads(crew, 3, CORES, 8), CORES);
    assert_int_equal(fcgi_crew_threads(crew, 3, CORES, 2), 2);
    assert_int_equal(fcgi_crew_threads(crew, 3, 64, 8), 8);
    assert_int_equal(fcgi_crew_threads(crew, 3, 1, 8), 1);
    assert_int_equal(fcgi_crew_threads(NULL, 3, CORES, 3), 3);
    fcgi_crew_unmap(crew);
    close(fd);
}

/* Whatever the number of the busy: all cores are used, none twice while there are enough. */
static void cores_are_divided(void **state)
{
    int fd;
    struct fcgi_crew *crew = new_crew(&fd);

    (void)state;
    for (int cores = 1; cores <= 9; cores++) {
        for (int busy = 1; busy <= SLOTS; busy++) {
            int sum = 0, least = 99, most = 0;
            for (int slot = 0; slot < SLOTS; slot++)
                fcgi_crew_set(crew, slot, slot >= SLOTS - busy);
            for (int slot = SLOTS - busy; slot < SLOTS; slot++) {
                int threads = fcgi_crew_threads(crew, slot, cores, 99);
                sum += threads;
                least = threads < least ? threads : least;
                most = threads > most ? threads : most;
            }
            assert_int_equal(sum, busy > cores ? busy : cores);
            assert_true(least >= 1 && most - least <= 1);
        }
    }
    fcgi_crew_unmap(crew);
    close(fd);
}

static void slots_that_are_none(void **state)
{
    int fd;
    struct fcgi_crew *crew = new_crew(&fd);

    (void)state;
    fcgi_crew_set(crew, -1, 1);
    fcgi_crew_set(crew, FCGI_BOARD_MAX_SLOTS, 1);
    fcgi_crew_set(NULL, 0, 1);
    fcgi_crew_set(crew, SLOTS, 1); /* past this supervisor's: not looked at */
    assert_int_equal(fcgi_crew_threads(crew, 0, CORES, 8), CORES);
    fcgi_crew_unmap(crew);
    close(fd);
}

/* The page stays right whatever a worker was about to do; its own byte is the supervisor's to mend.
 */
static void a_worker_is_killed(void **state)
{
    int fd, status;
    struct fcgi_crew *crew = new_crew(&fd);

    (void)state;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            for (int n = 0;; n++)
                fcgi_crew_set(crew, 1, n % 2 || n < 1000);
        for (int ms = 0; ms < 5000 && !crew->busy[1]; ms++)
            usleep(1000);
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_in_range(fcgi_crew_threads(crew, 0, CORES, 8), CORES / 2, CORES);
        fcgi_crew_set(crew, 1, 0);
        assert_int_equal(fcgi_crew_threads(crew, 0, CORES, 8), CORES);
    }
    fcgi_crew_unmap(crew);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_known),    cmocka_unit_test(one_alone_takes_all),
        cmocka_unit_test(cores_are_divided),  cmocka_unit_test(slots_that_are_none),
        cmocka_unit_test(a_worker_is_killed), cmocka_unit_test(rubbish_costs_speed_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
