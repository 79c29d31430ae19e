/* expect.c: answers that are known beforehand. */
#include "tests/load/expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct t_expected *t_expect_read(const char *directory, const struct t_pictures *pictures)
{
    struct t_expected *expected = calloc(pictures->n, sizeof *expected);
    char path[4096], text[256];

    if (expected == NULL)
        t_options_quit(T_EXIT_FAILED, "no memory for %zu answers", pictures->n);
    for (size_t i = 0; i < pictures->n; i++) {
        const char *slash = strrchr(pictures->path[i], '/');
        const char *name = slash != NULL ? slash + 1 : pictures->path[i];
        int n = snprintf(path, sizeof path, "%s/%s.json", directory, name);
        if (n < 0 || (size_t)n >= sizeof path)
            t_options_quit(T_EXIT_USAGE, "--expect: %s: too long a path", directory);
        if (t_pictures_read(path, &expected[i].bytes, &expected[i].n, text) != 0)
            t_options_quit(T_EXIT_USAGE, "--expect: %s", text);
    }
    return expected;
}

void t_expect_free(struct t_expected *expected, size_t n)
{
    for (size_t i = 0; expected != NULL && i < n; i++)
        free(expected[i].bytes);
    free(expected);
}

int t_expect_is(const struct t_expected *expected, const struct t_request *request,
                const struct t_answer *answer)
{
    size_t n_id = strlen(request->id), at = 0, same = 0;
    int ids = 0;

    while (at < answer->n_body) {
        if (answer->n_body - at >= n_id && memcmp(answer->body + at, request->id, n_id) == 0) {
            at += n_id;
            ids++;
        } else if (same < expected->n && (uint8_t)answer->body[at] == expected->bytes[same]) {
            at++;
            same++;
        } else {
            return 0;
        }
    }
    return ids > 0 && same == expected->n && strcmp(answer->id, request->id) == 0;
}
