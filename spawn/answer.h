/* answer.h: what resnet-control answers. health.c, status.c, metrics.c and shed.c fill a struct
 * spawn_answer; answer.c picks who does, and turns it into bytes for nginx. */
#ifndef SPAWN_ANSWER_H
#define SPAWN_ANSWER_H

#include "fcgi/buffer.h"
#include "fcgi/errors.h"
#include "spawn/pages.h"
#include "spawn/record.h"
#include "spawn/self.h"

enum { SPAWN_REQUEST_ID_BYTES = 129 };

struct spawn_answer {
    int status;               /* HTTP */
    int retry_after_s;        /* 0: no such header */
    const char *allow;        /* NULL: no such header */
    const char *content_type; /* NULL: JSON */
    struct fcgi_buffer *body; /* the scene's */
};

/* What answers are made from. */
struct spawn_scene {
    const struct spawn_pages *pages;
    char host[65];
    uint64_t n_ids; /* request ids made up here */
    struct spawn_self self;
    int queue_fd; /* spawn_queue_open() */
    /* of the answer that is being made; they keep their memory */
    struct fcgi_buffer head, body;
};

/* One request, as far as an answer needs it. */
struct spawn_request {
    const char *path, *nginx_id;
    char request_id[SPAWN_REQUEST_ID_BYTES];
    bool internal; /* came by the second listener */
    bool alive;    /* the supervisor's loop has answered */
};

/* ---- answer.c ------------------------------------------------------------------------------- */

/* Whether this path cannot be answered before the supervisor's loop was asked. */
bool spawn_answer_needs_loop(const struct spawn_params *params);

/* Fills wire with the whole FastCGI answer to a request on ctl.sock, or on shed.sock. */
void spawn_answer_control(struct spawn_scene *scene, const struct spawn_params *params, bool alive,
                          uint16_t id, struct fcgi_buffer *wire);
void spawn_answer_shed(struct spawn_scene *scene, const struct spawn_params *params, uint16_t id,
                       struct fcgi_buffer *wire);

/* The common error body. */
void spawn_answer_error(struct spawn_answer *answer, int status, const char *code,
                        const struct spawn_request *request, const char *sentence);

/* ---- health.c: /health, /health/live, /health/ready, /health/startup ------------------------ */

void spawn_health_overall(const struct spawn_scene *scene, const struct spawn_request *request,
                          struct spawn_answer *answer);
void spawn_health_live(const struct spawn_scene *scene, const struct spawn_request *request,
                       struct spawn_answer *answer);
void spawn_health_ready(const struct spawn_scene *scene, const struct spawn_request *request,
                        struct spawn_answer *answer);
void spawn_health_startup(const struct spawn_scene *scene, const struct spawn_request *request,
                          struct spawn_answer *answer);

/* Another dialect's word for yes; a no stays what it is. */
void spawn_health_reword(struct spawn_answer *answer, const char *yes);

/* ---- status.c: /status ---------------------------------------------------------------------- */

void spawn_status(const struct spawn_scene *scene, const struct spawn_request *request,
                  struct spawn_answer *answer);

/* ---- metrics.c: /metrics, Prometheus' text format 0.0.4 ------------------------------------- */

void spawn_metrics(const struct spawn_scene *scene, const struct spawn_request *request,
                   struct spawn_answer *answer);
/* As a label's value stands between its quotes. */
void spawn_metrics_escape(struct fcgi_buffer *body, const char *text);

/* ---- oip.c: /v2, /v2/health, /v2/models/resnet50, /v2/repository/index ---------------------- */

void spawn_oip_server(const struct spawn_scene *scene, const struct spawn_request *request,
                      struct spawn_answer *answer);
void spawn_oip_live(const struct spawn_scene *scene, const struct spawn_request *request,
                    struct spawn_answer *answer);
void spawn_oip_ready(const struct spawn_scene *scene, const struct spawn_request *request,
                     struct spawn_answer *answer);
void spawn_oip_model(const struct spawn_scene *scene, const struct spawn_request *request,
                     struct spawn_answer *answer);
void spawn_oip_model_ready(const struct spawn_scene *scene, const struct spawn_request *request,
                           struct spawn_answer *answer);
void spawn_oip_config(const struct spawn_scene *scene, const struct spawn_request *request,
                      struct spawn_answer *answer);
void spawn_oip_stats(const struct spawn_scene *scene, const struct spawn_request *request,
                     struct spawn_answer *answer);
void spawn_oip_repository(const struct spawn_scene *scene, const struct spawn_request *request,
                          struct spawn_answer *answer);
/* What whoever asked for a path of this protocol that is not there may have meant; NULL for the
 * path of another. */
const char *spawn_oip_hint(const char *path);

/* ---- torchserve.c: /ping -------------------------------------------------------------------- */

void spawn_torchserve_ping(const struct spawn_scene *scene, const struct spawn_request *request,
                           struct spawn_answer *answer);
const char *spawn_torchserve_hint(const char *path); /* as spawn_oip_hint() */

/* ---- tfserving.c: /v1/models/resnet50 ------------------------------------------------------- */

void spawn_tfserving_status(const struct spawn_scene *scene, const struct spawn_request *request,
                            struct spawn_answer *answer);
void spawn_tfserving_metadata(const struct spawn_scene *scene, const struct spawn_request *request,
                              struct spawn_answer *answer);
const char *spawn_tfserving_hint(const char *path);

/* ---- shed.c --------------------------------------------------------------------------------- */

/* depth waiting requests, each of service_us, over n workers: when is it worth asking again? */
int spawn_shed_retry_after_s(int depth, double service_us, int workers);
/* Counts the answer, too. */
void spawn_shed(const struct spawn_scene *scene, const struct spawn_request *request,
                struct spawn_answer *answer);

#endif
