/* Blocks of which few coefficients are wanted, against all coefficients as libjpeg reads them; and
 * bits that are no JPEG's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fcgi/huffman.h"
#include "tests/fixtures/jpeg.h"

static const int natural[FCGI_HUFFMAN_COEFS] = {0, 1, 8, 16, 9, 2, 3, 10, 17, 24};

struct reader {
    struct jpeg_decompress_struct lib;
    struct jpeg_error_mgr errors;
    struct fcgi_huffman_table dc[4], ac[4];
    struct fcgi_huffman huffman;
};

/* libjpeg has read the header; ours stands behind it. */
static struct reader *reader_open(const struct t_bytes *jpeg)
{
    struct reader *r = calloc(1, sizeof(*r));

    r->lib.err = jpeg_std_error(&r->errors);
    jpeg_create_decompress(&r->lib);
    jpeg_mem_src(&r->lib, jpeg->p, jpeg->n);
    jpeg_read_header(&r->lib, TRUE);
    for (int i = 0; i < 4; i++) {
        const JHUFF_TBL *dc = r->lib.dc_huff_tbl_ptrs[i], *ac = r->lib.ac_huff_tbl_ptrs[i];

        if (dc != NULL)
            assert_int_equal(fcgi_huffman_table(&r->dc[i], dc->bits, dc->huffval, 1), 0);
        if (ac != NULL)
            assert_int_equal(fcgi_huffman_table(&r->ac[i], ac->bits, ac->huffval, 0), 0);
    }
    fcgi_huffman_open(&r->huffman, r->lib.src->next_input_byte, r->lib.src->bytes_in_buffer);
    return r;
}

static void reader_close(struct reader *r)
{
    jpeg_destroy_decompress(&r->lib);
    free(r);
}

/* A gray picture's blocks follow one another. */
static void check_gray(const struct t_bytes *jpeg, int want, int restart_blocks)
{
    struct reader *r = reader_open(jpeg), *all = reader_open(jpeg);
    jvirt_barray_ptr *arrays = jpeg_read_coefficients(&all->lib);
    const jpeg_component_info *info = &all->lib.comp_info[0];
    int level = 0, n = 0, restarts = 0;

    for (unsigned y = 0; y < info->height_in_blocks; y++) {
        JBLOCKARRAY rows =
            all->lib.mem->access_virt_barray((j_common_ptr)&all->lib, arrays[0], y, 1, FALSE);

        for (unsigned x = 0; x < info->width_in_blocks; x++, n++) {
            int16_t coefs[FCGI_HUFFMAN_BLOCK];

            if (restart_blocks > 0 && n > 0 && n % restart_blocks == 0) {
                assert_int_equal(fcgi_huffman_restart(&r->huffman, restarts++ & 7), 0);
                level = 0;
            }
            fcgi_huffman_fill(&r->huffman);
            fcgi_huffman_block(&r->huffman, &r->dc[0], &r->ac[0], want, coefs);
            level += coefs[0];
            coefs[0] = (int16_t)level;
            for (int k = 0; k <= want; k++)
                if (coefs[k] != rows[0][x][natural[k]])
                    fail_msg("block %u, %u, coefficient %d: %d, libjpeg has %d", x, y, k, coefs[k],
                             rows[0][x][natural[k]]);
        }
    }
    assert_false(fcgi_huffman_overrun(&r->huffman));
    assert_int_equal(fcgi_huffman_restart(&r->huffman, 0), -1); /* this is the end */
    reader_close(all);
    reader_close(r);
}

/* From hardly any coefficients to all 64, from short codes to the longest. */
static void as_libjpeg_reads_them(void **state)
{
    static const int qualities[] = {1, 10, 50, 75, 90, 98, 100};

    (void)state;
    for (size_t i = 0; i < sizeof(qualities) / sizeof(qualities[0]); i++)
        for (int restart_rows = 0; restart_rows <= 2; restart_rows++) {
            struct t_image drawn = t_image_draw(401, 233, 7);
            struct t_bytes jpeg =
                t_jpeg_make(&drawn, &(struct t_jpeg){.space = JCS_GRAYSCALE,
                                                     .quality = qualities[i],
                                                     .restart_rows = restart_rows});

            for (int want = 0; want < FCGI_HUFFMAN_COEFS; want++)
                check_gray(&jpeg, want, restart_rows * 51);
            free(jpeg.p);
            free(drawn.rgb);
        }
}

static void tables_that_are_none(void **state)
{
    static const uint8_t values[256] = {1, 2, 3, 16};
    struct fcgi_huffman_table *table = malloc(sizeof(*table));
    uint8_t counts[17] = {0};

    (void)state;
    counts[1] = 3; /* there are two codes of one bit */
    assert_int_equal(fcgi_huffman_table(table, counts, values, 0), -1);
    counts[1] = 2;
    counts[2] = 1;
    assert_int_equal(fcgi_huffman_table(table, counts, values, 0), -1);
    memset(counts, 255, sizeof(counts)); /* more than 256 symbols */
    memset(counts, 0, 12);
    assert_int_equal(fcgi_huffman_table(table, counts, values, 0), -1);
    memset(counts, 0, sizeof(counts));
    counts[3] = 4;
    assert_int_equal(fcgi_huffman_table(table, counts, values, 0), 0);
    assert_int_equal(fcgi_huffman_table(table, counts, values, 1), -1); /* a DC of 16 bits */
    free(table);
}

/* However wrong the bits are, it ends, within its memory, and knows when they were too few. */
static void noise(void **state)
{
    struct t_image drawn = t_image_draw(64, 64, 7);
    struct t_bytes jpeg = t_jpeg_make(&drawn, &(struct t_jpeg){.space = JCS_GRAYSCALE});
    struct reader *r = reader_open(&jpeg);
    uint32_t seed = 1;

    (void)state;
    for (int n = 0; n < 300; n++) {
        uint8_t *bytes = malloc((size_t)n + 1);
        uint8_t *exact = realloc(bytes, n > 0 ? (size_t)n : 1);
        int16_t coefs[FCGI_HUFFMAN_BLOCK];

        for (int i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            exact[i] = n % 3 == 0 ? 0xff : (uint8_t)(seed >> 24);
        }
        fcgi_huffman_open(&r->huffman, exact, (size_t)n);
        for (int block = 0; block < 3000; block++) {
            if (block % 10 == 0)
                fcgi_huffman_fill(&r->huffman);
            fcgi_huffman_block(&r->huffman, &r->dc[0], &r->ac[0], block % FCGI_HUFFMAN_COEFS,
                               coefs);
        }
        assert_true(fcgi_huffman_overrun(&r->huffman));
        free(exact);
    }
    reader_close(r);
    free(jpeg.p);
    free(drawn.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_libjpeg_reads_them),
        cmocka_unit_test(tables_that_are_none),
        cmocka_unit_test(noise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
