/* The ring of deaths, as a worker reads it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/deaths.h"

static const char id[] = "0123456789abcdef0123456789abcdef";

static void lookup(void **state)
{
    int fd = fcgi_deaths_create();
    struct fcgi_deaths *writer = fcgi_deaths_map(fd, 1);
    const struct fcgi_deaths *reader = fcgi_deaths_map(fd, 0);

    (void)state;
    assert_non_null(writer);
    assert_non_null(reader);
    assert_int_equal(fcgi_deaths_count(reader, id), 0);
    assert_int_equal(fcgi_deaths_count(reader, ""), 0); /* what empty entries look like */
    struct fcgi_death *last = &writer->entry[FCGI_DEATHS_ENTRIES - 1];
    fcgi_shared_put(last->nginx_id, id, sizeof id);
    assert_int_equal(fcgi_deaths_count(reader, id), 0); /* being written */
    last->count = 2;
    assert_int_equal(fcgi_deaths_count(reader, id), 2);
    assert_int_equal(fcgi_deaths_count(reader, "0123456789abcdef0123456789abcdee"), 0);
    assert_int_equal(fcgi_deaths_count(reader, "0123456789abcdef"), 0);
    assert_int_equal(fcgi_deaths_count(reader, ""), 0);
    assert_int_equal(fcgi_deaths_count(NULL, id), 0);
    fcgi_deaths_unmap(writer);
    fcgi_deaths_unmap((void *)(uintptr_t)reader);
    fcgi_deaths_unmap(NULL);
    close(fd);
}

static void another_page_is_refused(void **state)
{
    int empty = memfd_create("empty", MFD_CLOEXEC), fd = fcgi_deaths_create();
    struct fcgi_deaths *writer = fcgi_deaths_map(fd, 1);

    (void)state;
    assert_null(fcgi_deaths_map(-1, 0));
    assert_null(fcgi_deaths_map(empty, 0));
    assert_int_equal(errno, EINVAL);
    writer->version++;
    assert_null(fcgi_deaths_map(fd, 0));
    assert_int_equal(errno, EINVAL);
    fcgi_deaths_unmap(writer);
    close(empty);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookup),
        cmocka_unit_test(another_page_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
