/* .npy: what NumPy writes is read, what we write is read back, what lies is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fcgi/npy.h"

struct file {
    uint8_t *bytes;
    size_t n;
};

/* version 1 or 2, with that dict and so many bytes of data; in a block of its own size */
static struct file make(int version, const char *dict, size_t data_bytes)
{
    size_t prefix = version == 1 ? 10 : 12, n = strlen(dict);
    struct file file = {malloc(prefix + n + data_bytes), prefix + n + data_bytes};

    memcpy(file.bytes, "\x93NUMPY", 6);
    file.bytes[6] = (uint8_t)version;
    file.bytes[7] = 0;
    file.bytes[8] = (uint8_t)n;
    file.bytes[9] = (uint8_t)(n >> 8);
    if (version > 1)
        file.bytes[10] = file.bytes[11] = 0;
    memcpy(file.bytes + prefix, dict, n);
    memset(file.bytes + prefix + n, 7, data_bytes);
    return file;
}

static void as_numpy_writes(void **state)
{
    static const struct {
        int version;
        const char *dict;
        size_t bytes;
        enum fcgi_npy_type type;
        int ndim;
    } cases[] = {
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }     \n", 96,
         FCGI_NPY_F4, 3},
        {2, "{'descr': '|u1', 'fortran_order': False, 'shape': (5,), }\n", 5, FCGI_NPY_U1, 1},
        {3, "{'shape': (), 'fortran_order': False, 'descr': '<f4'}", 4, FCGI_NPY_F4, 0},
        {1, "{\"descr\":\"|u1\",\"fortran_order\":False,\"shape\":(0,9)}", 0, FCGI_NPY_U1, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct file file = make(cases[i].version, cases[i].dict, cases[i].bytes);
        struct fcgi_npy npy;
        char text[256];

        if (fcgi_npy_parse(file.bytes, file.n, &npy, text) != 0)
            fail_msg("%s", text);
        assert_int_equal(npy.type, cases[i].type);
        assert_int_equal(npy.ndim, cases[i].ndim);
        assert_int_equal(npy.data_bytes, cases[i].bytes);
        assert_ptr_equal(npy.data, file.bytes + file.n - cases[i].bytes);
        free(file.bytes);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *dict;
        size_t bytes;
        const char *says;
    } cases[] = {
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", 8, "'<f8'"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4, "'>f4'"},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", 4, "column-major"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 4, "asks for 8"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 9, "asks for 4"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 4), }", 4,
         "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 4,
         "'shape'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, "'shape'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }", 4, "'shape'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4, "'shape'"},
        {"{'descr': '<f4', 'fortran_order': False, }", 4, "lacks"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, "'x'"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, "'descr'"},
        {"{'descr': '<f4", 4, "descr"},
        {"", 0, "not a"},
        {"[1]", 4, "not a Python dict"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct file file = make(1, cases[i].dict, cases[i].bytes);
        struct fcgi_npy npy;
        char text[256] = "";

        assert_int_equal(fcgi_npy_parse(file.bytes, file.n, &npy, text), -1);
        if (strstr(text, cases[i].says) == NULL)
            fail_msg("expected \"%s\" in \"%s\"", cases[i].says, text);
        free(file.bytes);
    }
}

static void cut_and_damaged(void **state)
{
    struct file file = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24);
    struct fcgi_npy npy;
    char text[256];

    (void)state;
    for (size_t n = 0; n < file.n; n++) {
        uint8_t *exact = malloc(n != 0 ? n : 1);

        memcpy(exact, file.bytes, n);
        assert_int_equal(fcgi_npy_parse(exact, n, &npy, text), -1);
        free(exact);
    }
    for (size_t at = 0; at < file.n - 24; at++)
        for (int v = 0; v < 256; v++) {
            uint8_t kept = file.bytes[at];

            file.bytes[at] = (uint8_t)v;
            fcgi_npy_parse(file.bytes, file.n, &npy, text);
            file.bytes[at] = kept;
        }
    free(file.bytes);
}

static void written_and_read(void **state)
{
    char path[] = "/tmp/npy-XXXXXX", text[256];
    static const float rows[3][2] = {{1.0f, 2.0f}, {3.0f, 4.0f}, {5.0f, 6.0f}};
    struct fcgi_npy_writer writer;
    uint8_t bytes[4096];
    struct fcgi_npy npy;
    int fd = mkstemp(path);
    ssize_t n;

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fcgi_npy_create(&writer, path, FCGI_NPY_F4, 2, (int64_t[]){1, 2}), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fcgi_npy_append(&writer, rows[i]), 0);
    assert_int_equal(fcgi_npy_close(&writer), 0);
    n = read(fd, bytes, sizeof(bytes));
    assert_true(n > 0);
    assert_int_equal(fcgi_npy_parse(bytes, (size_t)n, &npy, text), 0);
    assert_int_equal(npy.ndim, 3);
    assert_int_equal(npy.shape[0], 3);
    assert_int_equal(npy.shape[1], 1);
    assert_int_equal(npy.shape[2], 2);
    assert_int_equal((npy.data - bytes) % 64, 0);
    assert_memory_equal(npy.data, rows, sizeof(rows));
    close(fd);
    unlink(path);
}

/* A full disk shows when the file is closed. */
static void full_disk(void **state)
{
    uint8_t *row = calloc(100000, 1);
    struct fcgi_npy_writer writer;

    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        print_message("no /dev/full here\n");
        skip();
    }
    assert_int_equal(fcgi_npy_create(&writer, "/dev/full", FCGI_NPY_U1, 1, (int64_t[]){100000}), 0);
    fcgi_npy_append(&writer, row);
    free(row);
    assert_int_equal(fcgi_npy_close(&writer), -1);
    assert_int_equal(fcgi_npy_create(&writer, "/no/such/dir", FCGI_NPY_U1, 1, (int64_t[]){1}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_numpy_writes), cmocka_unit_test(refused),
        cmocka_unit_test(cut_and_damaged), cmocka_unit_test(written_and_read),
        cmocka_unit_test(full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
