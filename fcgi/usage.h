/* usage.h: the paths that classify, how each is used, and an example for the sentence that says so.
 * The workers answer them; resnet-control is asked for them by whoever used the wrong method. */
#ifndef FCGI_USAGE_H
#define FCGI_USAGE_H

#define FCGI_USAGE_PREDICT    "curl --data-binary @photo.jpg http://HOST/predict"
#define FCGI_USAGE_TORCHSERVE "curl -T photo.jpg http://HOST/predictions/resnet50"
#define FCGI_USAGE_TFSERVING  "{\"instances\":[{\"b64\":\"<base64 of a picture>\"}]}"
#define FCGI_USAGE_OIP                                                                             \
    "{\"inputs\":[{\"name\":\"image\",\"datatype\":\"BYTES\",\"shape\":[1],"                       \
    "\"data\":[\"<base64 of a picture>\"]}]}"

/* handler, path, methods as Allow lists them, example */
#define FCGI_USAGES(X)                                                                             \
    X(fcgi_predict, "/predict", "POST", FCGI_USAGE_PREDICT)                                        \
    X(fcgi_torchserve, "/predictions/resnet50", "POST, PUT", FCGI_USAGE_TORCHSERVE)                \
    X(fcgi_torchserve, "/predictions/resnet50/1.0", "POST, PUT", FCGI_USAGE_TORCHSERVE)            \
    X(fcgi_tfserving, "/v1/models/resnet50:predict", "POST", FCGI_USAGE_TFSERVING)                 \
    X(fcgi_tfserving, "/v1/models/resnet50/versions/1:predict", "POST", FCGI_USAGE_TFSERVING)      \
    X(fcgi_oip, "/v2/models/resnet50/infer", "POST", FCGI_USAGE_OIP)                               \
    X(fcgi_oip, "/v2/models/resnet50/versions/1/infer", "POST", FCGI_USAGE_OIP)

struct fcgi_usage {
    const char *path, *methods, *example;
};

/* NULL: no such path. */
const struct fcgi_usage *fcgi_usage_find(const char *path);

/* Whether `methods` lists this one. */
int fcgi_usage_allows(const struct fcgi_usage *usage, const char *method);

#endif
