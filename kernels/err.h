/* err.h: what set-up in kernels/ can refuse. A code for programs, a sentence for people. */
#ifndef KERNELS_ERR_H
#define KERNELS_ERR_H

/* code, sentence. Which HTTP status or exit code each becomes is decided elsewhere. */
#define KN_ERRORS(X)                                                                               \
    X(KN_OK, "no error")                                                                           \
    X(KN_EARCH, "not a ResNet that this program knows")                                            \
    X(KN_ESHAPE, "a tensor has the wrong shape")                                                   \
    X(KN_EISA, "this instruction set or engine is not to be had here")                             \
    X(KN_EPRECISION, "this precision is not to be had here")                                       \
    X(KN_ESCALE, "a number of an int8 layer is out of range")                                      \
    X(KN_ENOMEM, "out of memory")                                                                  \
    X(KN_ETHREADS, "threads could not be started")                                                 \
    X(KN_ESTOPPED, "stopped between two layers, as asked")

enum kn_code {
#define X(code, sentence) code,
    KN_ERRORS(X)
#undef X
};

struct kn_err {
    enum kn_code code;
    char text[256]; /* "KN_ESHAPE: layer2.0.conv1.weight: expected [128,256,1,1], found ..." */
};

const char *kn_strerror(enum kn_code code);

/* Fills err (which may be NULL) with "CODE: " and the formatted text; returns code. */
int kn_fail(struct kn_err *err, enum kn_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
