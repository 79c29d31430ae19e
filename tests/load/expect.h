/* expect.h: what each picture's answer has to be, byte for byte. */
#ifndef TESTS_LOAD_EXPECT_H
#define TESTS_LOAD_EXPECT_H

#include "tests/load/engine.h"
#include "tests/load/pictures.h"

struct t_expected {
    uint8_t *bytes; /* the answer without its request's id */
    size_t n;
};

/* directory/NAME.json for each picture: [pictures->n], t_expect_free(). Ends the program where one
 * is missing. */
struct t_expected *t_expect_read(const char *directory, const struct t_pictures *pictures);
void t_expect_free(struct t_expected *expected, size_t n);

/* Whether this is that answer, with the id of this very request in it, and in its header. */
int t_expect_is(const struct t_expected *expected, const struct t_request *request,
                const struct t_answer *answer);

#endif
