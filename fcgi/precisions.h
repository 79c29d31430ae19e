/* precisions.h: what one model file can be computed in. The default is proven before a worker is
 * ready; the others are bound to their weights by then, so that nothing has to be opened later, but
 * they take no memory until somebody asks for one. */
#ifndef FCGI_PRECISIONS_H
#define FCGI_PRECISIONS_H

#include "fcgi/errors.h"
#include "kernels/kernels.h"
#include "weights/weights.h"

enum { FCGI_MAX_OTHERS = 2 /* of three that there are */, FCGI_PRECISIONS_TEXT = 32 };

enum fcgi_proof { FCGI_UNPROVEN, FCGI_PROVEN, FCGI_REFUTED };

/* One beside the default. */
struct fcgi_other {
    struct wt_model model;
    struct kn_plan *plan;
    enum fcgi_proof proof; /* checksum and self-test */
};

struct fcgi_others {
    struct fcgi_other other[FCGI_MAX_OTHERS];
    int n;
};

/* The exit code of what weights/ or kernels/ could not open: FCGI_EXIT_TRY_LATER without memory or
 * threads, else FCGI_EXIT_CONFIG. */
int fcgi_precisions_exit(enum wt_code weights, enum kn_code kernels);

/* Binds every other precision that the file has and this machine can compute. options: the plan's.
 * Returns 0, or a sentence and an exit code, as fcgi_classifier_open(). Close in either case,
 * before plan and model. */
int fcgi_precisions_open(struct fcgi_others *others, const struct wt_model *model,
                         const struct kn_plan *plan, const struct kn_options *options,
                         char text[512]);
void fcgi_precisions_close(struct fcgi_others *others);

/* The one of that name (n bytes), or NULL. */
struct fcgi_other *fcgi_precisions_find(struct fcgi_others *others, const char *name, size_t n);

/* "fp32, bf16": the default's name and the others'. */
void fcgi_precisions_list(const struct fcgi_others *others, const char *first,
                          char text[FCGI_PRECISIONS_TEXT]);

/* Checksum and self-test, at the first use; later only what came of it. Errors: CANCELLED when
 * between stopped it, WORKER_FAILED without memory (the next use tries again), or for good. */
int fcgi_precisions_prove(struct fcgi_other *other, kn_between_fn *between, void *ctx,
                          struct fcgi_err *err);

#endif
