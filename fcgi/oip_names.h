/* oip_names.h: what the Open Inference Protocol calls things here, for the workers, which answer
 * inference, and for resnet-control, which answers questions about the model. */
#ifndef FCGI_OIP_NAMES_H
#define FCGI_OIP_NAMES_H

#define FCGI_OIP_MODEL   "resnet50"
#define FCGI_OIP_VERSION "1"

/* Encoded photographs, or what preprocessing makes of them. */
#define FCGI_OIP_IMAGE "image" /* BYTES [n] */
#define FCGI_OIP_INPUT "input" /* FP32 [n, 3, crop, crop] */

/* name, as sent, datatype: [n, classes], but features are [n, features] and classification [n, k]
 */
#define FCGI_OIP_OUTPUTS(X)                                                                        \
    X(PROBABILITIES, "probabilities", "FP32")                                                      \
    X(LOGITS, "logits", "FP32")                                                                    \
    X(FEATURES, "features", "FP32")                                                                \
    X(CLASSIFICATION, "classification", "BYTES")

enum fcgi_oip_output {
#define X(name, text, datatype) FCGI_OIP_##name,
    FCGI_OIP_OUTPUTS(X)
#undef X
        FCGI_OIP_N_OUTPUTS
};

/* Of classification, where the request does not say. */
enum { FCGI_OIP_DEFAULT_K = 5 };

#endif
