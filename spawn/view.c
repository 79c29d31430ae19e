/* view.c: from ctl.sock to struct spawn_view. */
#include "spawn/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spawn/client.h"
#include "spawn/json.h"
#include "spawn/spawn.h"

enum { ASK_MS = 5000 };

int spawn_view_ask(const struct fcgi_config *config, const char *path, struct fcgi_buffer *body)
{
    char socket_path[SPAWN_PATH_BYTES];

    if (spawn_rundir_path(config->run_dir, "ctl.sock", socket_path))
        return errno = ENAMETOOLONG, -1;
    return spawn_client_get(socket_path, path, ASK_MS, body);
}

int spawn_view_complain(const struct fcgi_config *config)
{
    fprintf(stderr,
            "resnet-ctl: %s/ctl.sock: %s; is resnet-spawn running with this RESNET_RUN_DIR?\n",
            config->run_dir, strerror(errno));
    return FCGI_EXIT_TRY_LATER;
}

/* ---- parsing -------------------------------------------------------------------------------- */

struct reader {
    struct spawn_json json;
    int object;
};

static int find(const struct reader *r, const char *key)
{
    return spawn_json_find(&r->json, r->object, key);
}

static int64_t number(const struct reader *r, const char *key)
{
    return spawn_json_int(&r->json, find(r, key), 0);
}

static void text(const struct reader *r, const char *key, char *out, size_t size)
{
    spawn_json_text(&r->json, find(r, key), out, size);
}

static void read_totals(struct reader *r, const char *key, struct spawn_view_totals *totals)
{
    int object = find(r, key);

    for (int at = spawn_json_first(&r->json, object); at >= 0 && totals->n < SPAWN_VIEW_TOTALS;
         at = spawn_json_next(&r->json, at)) {
        struct spawn_view_total *row = &totals->row[totals->n++];
        spawn_json_text(&r->json, at, row->name, sizeof row->name);
        row->n = spawn_json_int(&r->json, spawn_json_value(&r->json, at), 0);
    }
}

static void read_worker(struct reader *r, int object, struct spawn_view_worker *worker)
{
    r->object = object;
    worker->slot = (int)number(r, "slot");
    worker->generation = (int)number(r, "generation");
    worker->pid = (int)number(r, "pid");
    text(r, "state", worker->state, sizeof worker->state);
    text(r, "request_id", worker->request_id, sizeof worker->request_id);
    text(r, "stage", worker->stage, sizeof worker->stage);
    text(r, "layer_name", worker->layer, sizeof worker->layer);
    worker->ms = number(r, "ms");
    worker->requests = number(r, "requests");
    worker->restarts = number(r, "restarts");
    worker->rss_bytes = number(r, "rss_bytes");
    worker->pss_bytes = number(r, "pss_bytes");
}

static void read_service(struct reader *r, struct spawn_view *view)
{
    char word[32];

    view->pid = (int)number(r, "pid");
    view->generation = (int)number(r, "generation");
    text(r, "state", view->state, sizeof view->state);
    text(r, "model_sha256", view->model_sha256, sizeof view->model_sha256);
    text(r, "precision", view->precision, sizeof view->precision);
    text(r, "reason", view->reason, sizeof view->reason);
    view->uptime_ms = number(r, "uptime_ms");
    view->throttled_ms = number(r, "cpu_throttled_ms");
    text(r, "service_ms", word, sizeof word);
    view->service_ms = strtod(word, NULL);
    read_totals(r, "ends", &view->ends);
    read_totals(r, "verdicts", &view->verdicts);
    read_totals(r, "shed", &view->shed);
}

static void read_inner(struct reader *r, struct spawn_view *view)
{
    char word[8];

    r->object = spawn_json_find(&r->json, SPAWN_JSON_ROOT, "reload");
    text(r, "active", word, sizeof word);
    view->reloading = word[0] == 't';
    view->reloads_ok = number(r, "ok");
    view->reloads_failed = number(r, "failed");
    r->object = spawn_json_find(&r->json, SPAWN_JSON_ROOT, "queue");
    view->queue_depth = spawn_json_int(&r->json, find(r, "depth"), -1);
    view->queue_age_ms = spawn_json_int(&r->json, find(r, "age_ms"), -1);
    int workers = spawn_json_find(&r->json, SPAWN_JSON_ROOT, "workers");
    for (int at = spawn_json_first(&r->json, workers);
         at >= 0 && view->n_workers < FCGI_BOARD_MAX_SLOTS; at = spawn_json_next(&r->json, at))
        read_worker(r, at, &view->worker[view->n_workers++]);
}

int spawn_view_parse(struct spawn_view *view, const char *bytes, size_t n)
{
    struct reader r = {.object = SPAWN_JSON_ROOT};

    memset(view, 0, sizeof *view);
    int failed = spawn_json_parse(&r.json, bytes, n) || find(&r, "workers") < 0;
    if (!failed) {
        read_service(&r, view);
        read_inner(&r, view);
    }
    spawn_json_free(&r.json);
    return failed ? -1 : 0;
}

int spawn_view_try(struct spawn_view *view, const struct fcgi_config *config)
{
    struct fcgi_buffer body = {0};
    int status = spawn_view_ask(config, "/status", &body);
    int failed = status < 0, error = errno;

    if (!failed) {
        errno = 0;
        failed = status != 200 || spawn_view_parse(view, body.bytes, body.n);
        error = errno == ENOMEM ? ENOMEM : EPROTO;
    }
    fcgi_buffer_free(&body);
    errno = error;
    return failed ? -1 : 0;
}

int spawn_view_get(struct spawn_view *view, const struct fcgi_config *config)
{
    if (!spawn_view_try(view, config))
        return 0;
    spawn_view_complain(config);
    return -1;
}
