/* compare.h: the same pictures to two services, and where their answers differ. */
#ifndef TESTS_LOAD_COMPARE_H
#define TESTS_LOAD_COMPARE_H

#include <signal.h>

#include "tests/load/predictions.h"
#include "tests/load/tally.h"

enum { T_OLD, T_NEW, T_SIDES };

/* Probabilities that differ by more are told, and their cause is looked for. */
#define T_COMPARE_TOLERANCE 0.01

enum t_verdict {
    T_VERDICT_SAME,
    T_VERDICT_CLOSE,  /* the same first class, but its probability differs by more than that */
    T_VERDICT_OTHER,  /* another first class */
    T_VERDICT_FAILED, /* one of them, or both, did not answer */
    T_VERDICTS
};

enum t_cause {
    T_CAUSE_NONE,
    T_CAUSE_EXIF,
    T_CAUSE_PRECISION,
    T_CAUSE_EXIF_AND_PRECISION,
    T_CAUSE_CHANNELS,
    T_CAUSE_RESIZE,
    T_CAUSE_WEIGHTS,
    T_CAUSE_UNKNOWN,
    T_CAUSES
};

/* What one service said of one picture. */
struct t_side {
    struct t_outcome outcome; /* ok, but in no shape that is known: not ok, "no predictions" */
    struct t_predictions said;
    double ms;
    char id[T_ID_BYTES], precision[16];
};

struct t_case {
    const char *path, *name; /* name: the path's end */
    struct t_side side[T_SIDES];
    int orientation;
    double difference; /* the largest of a class that both name */
    enum t_verdict verdict;
    enum t_cause cause;
    char why[200]; /* a sentence */

    struct t_body body; /* while it is sent */
    int open;           /* requests that still need it */
};

struct t_compare {
    const struct t_options *options;
    struct t_target target[T_SIDES];
    struct t_pictures pictures;
    struct t_case *cases; /* [pictures.n] */
    size_t n;             /* that both were asked about; fewer than pictures.n: interrupted */
    struct t_engine *engine;
    char run_id[12];
    size_t sent;
    FILE *progress; /* NULL: quiet */

    struct t_tally tally[T_SIDES]; /* sorted */
    size_t verdicts[T_VERDICTS], causes[T_CAUSES];
    const struct t_case *largest; /* the largest difference, or NULL */
};

/* Sends, looks for causes, reports. Returns the program's exit status. */
int t_compare_run(const struct t_options *options, const volatile sig_atomic_t *stop);

/* One picture to one service. Returns 0, or -1 when it was interrupted. */
int t_compare_ask(struct t_compare *compare, const struct t_target *target, const char *name,
                  const uint8_t *bytes, size_t n, struct t_side *side);

enum t_verdict t_compare_verdict(const struct t_side side[T_SIDES]);

/* ---- cause.c --------------------------------------------------------------------------------- */

/* Why each case differs that does, by asking again: without EXIF, in fp32, about drawn pictures. */
void t_cause_find(struct t_compare *compare);
const char *t_cause_name(enum t_cause cause);   /* "EXIF orientation" */
const char *t_cause_key(enum t_cause cause);    /* "exif" */
const char *t_cause_remedy(enum t_cause cause); /* a sentence, or "" */

/* ---- drawn.c --------------------------------------------------------------------------------- */

enum { T_DRAWN_GRAY, T_DRAWN_RED, T_DRAWN_BLUE, T_DRAWN_PATTERN, T_DRAWN };

/* A PNG of 256 x 256, the same in one colour, or a pattern; the caller frees it. -1: no memory. */
int t_drawn_make(int which, uint8_t **bytes, size_t *n);

/* ---- reports --------------------------------------------------------------------------------- */

void t_compare_text(const struct t_compare *compare);
void t_compare_json(const struct t_compare *compare);
int t_compare_html(const struct t_compare *compare, FILE *out); /* closes it; -1: errno tells */

/* "tabby" 0.91, or why there is no answer. */
void t_compare_said(const struct t_side *side, char *text, size_t size);

#endif
