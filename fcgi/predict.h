/* predict.h: POST /predict, our own dialect. */
#ifndef FCGI_PREDICT_H
#define FCGI_PREDICT_H

#include "fcgi/body.h"
#include "fcgi/buffer.h"
#include "fcgi/classify.h"
#include "fcgi/request.h"

/* What every prediction of a worker shares. */
struct fcgi_predictor {
    struct fcgi_classifier *classifier;
    struct fcgi_image_limits limits;
    int exif;                    /* enum wt_exif, or -1 for the recipe's */
    int max_images;              /* RESNET_MAX_IMAGES */
    const char *precision;       /* what this worker computes in */
    struct fcgi_prediction *top; /* [classes], scratch */
    struct fcgi_follow follow;
};

/* Parses the query, finds the pictures, classifies them, and writes the answer into json.
 * n_images: how many the body had. times are added to. Returns FCGI_E_OK or err->code. */
int fcgi_predict(struct fcgi_predictor *predictor, const struct fcgi_request *request,
                 const struct fcgi_span *input, struct fcgi_buffer *json, int *n_images,
                 struct fcgi_classify_times *times, struct fcgi_err *err);

#endif
