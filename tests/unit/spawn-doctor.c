/* What doctor makes of versions and of nginx's ways to us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "spawn/doctor.h"

static void versions_as_dpkg_compares_them(void **state)
{
    static const char *const rising[] = {
        "1.0~rc1", "1.0", "1.0-1", "1.0-1+deb1", "1.0-1+deb12", "1.0-2", "1.0a",
        "1.00a1",  "1.9", "1.10",  "1.10.1",     "2",           "1:0.1", "1:0.2-1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rising / sizeof *rising; i++)
        for (size_t j = 0; j < sizeof rising / sizeof *rising; j++) {
            int sign = spawn_doctor_compare_versions(rising[i], rising[j]);
            if ((sign > 0) - (sign < 0) != (i > j) - (i < j))
                fail_msg("%s and %s: %d", rising[i], rising[j], sign);
        }
    assert_int_equal(spawn_doctor_compare_versions("1.01", "1.1"), 0);
}

static void which_libfcgi_has_the_fix(void **state)
{
    static const struct {
        const char *version;
        int fixed;
    } cases[] = {
        {"2.4.2-2+deb12u1", 1},   {"2.4.2-2+deb12u2", 1},
        {"2.4.5-0.1", 1},         {"2.4.7", 1},
        {"2.4.10-1", 1},          {"2.4.2-2", 0},
        {"2.4.2-2+b1", 0},        {"2.4.3-1", 0},
        {"2.4.0-10", 0},          {"", 0},
        {"2.4.2-2ubuntu0.1", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (spawn_doctor_libfcgi_is_fixed(cases[i].version) != cases[i].fixed)
            fail_msg("%s", cases[i].version);
}

/* How many ways lead to the socket in a configuration. */
static int ways_to(const char *run_dir, const char *source)
{
    static struct spawn_doctor doctor;
    char text[512];
    int n = 0;

    snprintf(doctor.config.run_dir, sizeof doctor.config.run_dir, "%s", run_dir);
    assert_int_equal(spawn_nginx_conf_parse(&doctor.nginx, "x", source, strlen(source), text), 0);
    for (int i = -1; (i = spawn_doctor_route_next(&doctor, i)) >= 0;)
        n++;
    spawn_nginx_conf_free(&doctor.nginx);
    return n;
}

static int ways(const char *source)
{
    return ways_to("/nowhere/run", source);
}

#define UP "upstream up { server \"unix:/nowhere/run/work.sock\" max_fails=0; } "

static void ways_that_lead_to_us(void **state)
{
    (void)state;
    assert_int_equal(ways("location / { fastcgi_pass unix:/nowhere/run/work.sock; }"), 1);
    assert_int_equal(ways(UP "location / { fastcgi_pass up; } location /x { fastcgi_pass up; }"),
                     2);
    assert_int_equal(
        ways(UP "map $m $to { default other; POST up; } location / { fastcgi_pass $to; }"), 1);
    assert_int_equal(ways(UP "server { set $to up; location / { fastcgi_pass $to; } }"), 1);
    assert_int_equal(ways(UP "map $m $to { default other; } location / { fastcgi_pass $to; }"), 0);
    assert_int_equal(ways(UP "map $m $else { default up; } location / { fastcgi_pass $to; }"), 0);
    assert_int_equal(ways(UP "location / { proxy_pass up; fastcgi_pass other; }"), 0);
    assert_int_equal(ways("location / { fastcgi_pass unix:/elsewhere/run/work.sock; }"), 0);
    assert_int_equal(ways("location / { fastcgi_pass 127.0.0.1:9000; }"), 0);
    assert_int_equal(ways(""), 0);
}

/* compose: the run directory is a link to slot 3 of a volume that nginx has under that name. */
static void a_replica_of_several(void **state)
{
    char folder[] = "/tmp/resnet-doctor-XXXXXX", slot[64], link[64], conf[256];

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(slot, sizeof slot, "%s/3", folder);
    snprintf(link, sizeof link, "%s/run", folder);
    assert_int_equal(mkdir(slot, 0700), 0);
    assert_int_equal(symlink(slot, link), 0);
    snprintf(conf, sizeof conf, "location / { fastcgi_pass unix:%s/3/work.sock; }", link);
    assert_int_equal(ways_to(link, conf), 1);
    snprintf(conf, sizeof conf, "location / { fastcgi_pass unix:%s/2/work.sock; }", link);
    assert_int_equal(ways_to(link, conf), 0);
    assert_int_equal(unlink(link) | rmdir(slot) | rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_as_dpkg_compares_them),
        cmocka_unit_test(which_libfcgi_has_the_fix),
        cmocka_unit_test(ways_that_lead_to_us),
        cmocka_unit_test(a_replica_of_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
