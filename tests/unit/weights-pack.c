/* Packing: the same bytes every time, and all of the file or nothing. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "tests/unit/weights-tiny.h"

static struct t_tiny tiny;
static uint8_t *image; /* the packed file */
static size_t image_bytes;
static char directory[64];

static int set_up(void **state)
{
    char path[96];
    struct wt_err err = {.text = ""};

    (void)state;
    t_tiny_new(&tiny);
    t_directory(directory);
    snprintf(path, sizeof(path), "%s/tiny.rnm", directory);
    t_must(wt_pack_write(&tiny.pack, path, NULL, &err), &err);
    image = t_slurp(path, &image_bytes);
    unlink(path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rmdir(directory);
    free(image);
    t_tiny_free(&tiny);
    return 0;
}

static struct wt_rnm_header *header_of(uint8_t *bytes)
{
    return (struct wt_rnm_header *)bytes;
}

static void the_same_input_gives_the_same_bytes(void **state)
{
    char path[96];
    struct wt_err err = {.text = ""};
    struct wt_pack other = tiny.pack;
    size_t bytes;

    (void)state;
    snprintf(path, sizeof(path), "%s/again.rnm", directory);
    t_must(wt_pack_write(&tiny.pack, path, NULL, &err), &err);
    uint8_t *again = t_slurp(path, &bytes);
    assert_int_equal(bytes, image_bytes);
    assert_memory_equal(again, image, bytes);
    free(again);

    /* From another source file: the source's hash and the head's CRC differ, nothing else. */
    other.source_sha256 = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    t_must(wt_pack_write(&other, path, NULL, &err), &err);
    again = t_slurp(path, &bytes);
    assert_int_equal(bytes, image_bytes);
    assert_memory_not_equal(again, image, sizeof(struct wt_rnm_header));
    memcpy(header_of(again)->source_sha256, header_of(image)->source_sha256, 32);
    header_of(again)->head_crc = header_of(image)->head_crc;
    assert_memory_equal(again, image, bytes);
    free(again);
    unlink(path);
}

struct stopper {
    int calls, stop_at;
};

static int stop(void *ctx, const char *what, double share)
{
    struct stopper *s = ctx;

    (void)what;
    assert_true(share >= 0 && share <= 1);
    return s->calls++ == s->stop_at;
}

static void giving_up_leaves_the_old_file(void **state)
{
    char path[96];
    struct wt_err err = {.text = ""};
    struct stopper s = {0};
    struct wt_progress progress = {stop, &s};
    size_t bytes;

    (void)state;
    snprintf(path, sizeof(path), "%s/kept.rnm", directory);
    FILE *file = fopen(path, "w");
    fputs("old", file);
    fclose(file);
    while (wt_pack_write(&tiny.pack, path, &progress, &err) != WT_OK) {
        uint8_t *old = t_slurp(path, &bytes);
        assert_int_equal(bytes, 3);
        free(old);
        assert_int_equal(t_names_in(directory), 1);
        s = (struct stopper){.stop_at = s.stop_at + 1};
    }
    assert_true(s.stop_at > 10);
    uint8_t *new = t_slurp(path, &bytes);
    assert_int_equal(bytes, image_bytes);
    free(new);
    assert_int_equal(t_names_in(directory), 1);
    unlink(path);
}

static void no_room_leaves_nothing(void **state)
{
    char path[96];
    struct wt_err err = {.text = ""};
    struct rlimit before, small;

    (void)state;
    snprintf(path, sizeof(path), "%s/full.rnm", directory);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = image_bytes / 2;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int code = wt_pack_write(&tiny.pack, path, NULL, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(code, WT_EIO);
    assert_non_null(strstr(err.text, "full.rnm: no room for its"));
    assert_int_equal(t_names_in(directory), 0);
}

static void bad_targets_are_refused(void **state)
{
    char path[96];
    struct wt_err err = {.text = ""};

    (void)state;
    snprintf(path, sizeof(path), "%s/none/x.rnm", directory);
    assert_int_equal(wt_pack_write(&tiny.pack, path, NULL, &err), WT_EIO);
    assert_int_equal(wt_pack_write(&tiny.pack, directory, NULL, &err), WT_EIO);
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_int_equal(wt_pack_write(&tiny.pack, "/dev/null", NULL, &err), WT_EIO);
    assert_int_equal(t_names_in(directory), 0);
}

static void crc32c_is_castagnolis(void **state)
{
    (void)state;
    assert_int_equal(wt_digest_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(wt_digest_crc32c(wt_digest_crc32c(0, "1234", 4), "56789", 5), 0xE3069283);
    assert_int_equal(wt_digest_crc32c(7, "", 0), 7);
}

static void hex_goes_there_and_back(void **state)
{
    uint8_t digest[32];
    char hex[65];

    (void)state;
    assert_int_equal(wt_digest_unhex(digest, T_SOURCE_SHA256), 0);
    wt_digest_hex(hex, digest);
    assert_string_equal(hex, T_SOURCE_SHA256);
    hex[63] = 'g';
    assert_int_equal(wt_digest_unhex(digest, hex), -1);
    hex[40] = '\0';
    assert_int_equal(wt_digest_unhex(digest, hex), -1);
}

static void names_of_networks(void **state)
{
    static const struct {
        const char *arch;
        int first_channels, synthetic;
        const char *name;
    } rows[] = {
        {"resnet50", 64, 0, "ResNet-50"},
        {"resnet101", 64, 0, "ResNet-101"},
        {"resnet50-w128", 64, 0, "Wide ResNet-50-2"},
        {"resnet50-w128", 128, 0, "ResNet-50, width 128"},
        {"resnet50", 64, 1, "ResNet-50 (synthetic weights)"},
        {"resnet50-w8", 8, 1, "ResNet-50 (synthetic weights)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct kn_net net = {.layer = {{.oc = rows[i].first_channels}}};
        char name[64];
        snprintf(net.arch, sizeof(net.arch), "%s", rows[i].arch);
        wt_pack_name(name, &net, rows[i].synthetic);
        assert_string_equal(name, rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_input_gives_the_same_bytes),
        cmocka_unit_test(giving_up_leaves_the_old_file),
        cmocka_unit_test(no_room_leaves_nothing),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(crc32c_is_castagnolis),
        cmocka_unit_test(hex_goes_there_and_back),
        cmocka_unit_test(names_of_networks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
