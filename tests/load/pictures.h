/* pictures.h: the files that are sent, each as the body that its request has. */
#ifndef TESTS_LOAD_PICTURES_H
#define TESTS_LOAD_PICTURES_H

#include <stddef.h>
#include <stdint.h>

#include "tests/load/options.h"

struct t_body {
    uint8_t *bytes; /* malloc'ed */
    size_t n;
    char type[80]; /* the header's line */
};

/* The paths of all pictures that the arguments mean. Ends the program where there is none. */
struct t_pictures {
    char **path;
    size_t n;
};
struct t_pictures t_pictures_list(const struct t_options *options);
void t_pictures_free(struct t_pictures *pictures);

/* The file itself; the caller frees *bytes. Returns 0, or -1 with a sentence. */
int t_pictures_read(const char *path, uint8_t **bytes, size_t *n, char text[256]);

/* A picture as options->send says; name: the form's file name. Returns 0, or -1: no memory. */
int t_pictures_body(const struct t_options *options, const char *name, const uint8_t *bytes,
                    size_t n, struct t_body *body);

/* "image/jpeg", by the first bytes; "application/octet-stream" for what is not known. */
const char *t_pictures_type(const uint8_t *bytes, size_t n);

/* A JPEG's EXIF orientation, 1..8; 1 where there is none. */
int t_pictures_orientation(const uint8_t *bytes, size_t n);

/* Takes EXIF out of a JPEG, in place. Returns the bytes left. */
size_t t_pictures_strip_exif(uint8_t *bytes, size_t n);

#endif
