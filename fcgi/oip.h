/* oip.h: one inference request of the Open Inference Protocol (version 2), with Triton's extensions
 * for binary tensors and classification. Internal to oip*.c:
 *
 *   oip.c          the order of things
 *   oip_request.c  the JSON part: id, parameters, which outputs
 *   oip_input.c    the one input tensor: photographs, or the network's input
 *   oip_answer.c   outputs as JSON or as bytes behind it
 *
 * Members and parameters that are not known are stepped over: the protocol leaves them to servers,
 * and clients send what other servers know.
 */
#ifndef FCGI_OIP_H
#define FCGI_OIP_H

#include "fcgi/dialect.h"
#include "fcgi/oip_names.h"
#include "weights/json.h"

struct fcgi_oip_wanted {
    enum fcgi_oip_output output;
    int binary; /* 1: behind the JSON */
    int k;      /* of a classification; 0: the tensor itself */
};

struct fcgi_oip_request {
    struct fcgi_body body; /* photographs, and what the query says */
    const struct wt_json *json;
    const char *id; /* as it stands between its quotes; NULL: none */
    size_t id_n;
    int binary_outputs; /* 1: outputs that do not say are binary */
    struct fcgi_oip_wanted wanted[FCGI_OIP_N_OUTPUTS];
    int n_wanted;

    /* the bytes behind the JSON */
    const uint8_t *binary;
    size_t binary_n;

    /* found by oip_input.c */
    int n;         /* photographs, or rows of the tensor */
    int is_tensor; /* 1: it is in classifier->input already */
};

/* Reads the JSON part of the call's body into the predictor's json; request is all zero but for
 * what the query says. Errors: BAD_REQUEST, BAD_JSON, UNSUPPORTED_MEDIA_TYPE. */
int fcgi_oip_request(struct fcgi_call *call, struct fcgi_oip_request *request);

/* Finds the input. Photographs in base64 are decoded where they stand. Errors: BAD_REQUEST,
 * BAD_BASE64, TOO_MANY_IMAGES, TENSOR_SHAPE_MISMATCH, TENSOR_NOT_FINITE. */
int fcgi_oip_input(struct fcgi_call *call, struct fcgi_oip_request *request);

/* Writes what the last run of the classifier left. */
void fcgi_oip_answer(struct fcgi_call *call, const struct fcgi_oip_request *request);

/* 1 if value is a string that reads `text`. */
int fcgi_oip_is(const struct wt_json *json, int value, const char *text);

#endif
