/* engine.c: libcurl's multi interface, one slot a request under way. */
#include "tests/load/engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/buffer.h"

enum { MAX_ANSWER_BYTES = 64 << 20, LONGEST_POLL_MS = 1000 };

struct slot {
    CURL *easy;
    struct curl_slist *headers;
    struct t_request request;
    struct t_answer answer;
    struct fcgi_buffer body;
    size_t sent;
    struct slot *free; /* the next free one */
};

struct t_engine {
    const struct t_options *options;
    const volatile sig_atomic_t *stop;
    CURLM *multi;
    struct slot *slot, *free; /* [options->concurrency] */
    int busy, timer, ended;
};

int64_t t_engine_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- what libcurl calls ---------------------------------------------------------------------- */

/* Without a way back once some of it was sent: a request on a kept connection that was closed under
 * it fails, where libcurl would send it again by itself. libcurl from 8.7 on asks once more before
 * the next request on the handle, of which nothing was sent yet. */
static int seek_body(void *ctx, curl_off_t offset, int origin)
{
    const struct slot *slot = ctx;

    return offset == 0 && origin == SEEK_SET && slot->sent == 0 ? CURL_SEEKFUNC_OK
                                                                : CURL_SEEKFUNC_FAIL;
}

static size_t read_body(char *to, size_t size, size_t n, void *ctx)
{
    struct slot *slot = ctx;
    size_t left = slot->request.body->n - slot->sent, some = size * n;

    if (some > left)
        some = left;
    memcpy(to, slot->request.body->bytes + slot->sent, some);
    slot->sent += some;
    return some;
}

static size_t take_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct slot *slot = ctx;

    if (size * n > MAX_ANSWER_BYTES - slot->body.n)
        return 0;
    fcgi_buffer_add(&slot->body, bytes, size * n);
    return slot->body.failed ? 0 : size * n;
}

/* The value of a header, if it is this one, without what a terminal would act upon. */
static void take_value(const char *line, size_t n, const char *name, char *value, size_t size)
{
    size_t at = strlen(name), used = 0;

    if (n <= at || strncasecmp(line, name, at) != 0)
        return;
    while (at < n && line[at] == ' ')
        at++;
    for (; at < n && used + 1 < size && line[at] > ' ' && line[at] < 0x7f; at++)
        value[used++] = line[at];
    if (used > 0)
        value[used] = '\0';
}

static size_t take_header(char *line, size_t size, size_t n, void *ctx)
{
    struct t_answer *answer = &((struct slot *)ctx)->answer;

    take_value(line, size * n, "X-Request-ID:", answer->id, sizeof answer->id);
    take_value(line, size * n, "X-Precision:", answer->precision, sizeof answer->precision);
    take_value(line, size * n, "Content-Type:", answer->type, sizeof answer->type);
    return size * n;
}

/* ---- a request ------------------------------------------------------------------------------- */

static int set_options(struct slot *slot, const struct t_options *o)
{
    CURL *easy = slot->easy;
    int64_t timeout_ms = o->timeout_ms;

    return curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) ||
           curl_easy_setopt(easy, CURLOPT_PROXY, "") ||
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
           curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, -1L) ||
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms) ||
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms) ||
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, (long)!o->insecure) ||
           curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, o->insecure ? 0L : 2L) ||
           curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)!o->keep_alive) ||
           curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)!o->keep_alive) ||
           curl_easy_setopt(easy, CURLOPT_POST, 1L) ||
           curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_body) ||
           curl_easy_setopt(easy, CURLOPT_READDATA, slot) ||
           curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, seek_body) ||
           curl_easy_setopt(easy, CURLOPT_SEEKDATA, slot) ||
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) ||
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot) ||
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) ||
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot) ||
           curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
}

__attribute__((format(printf, 2, 3))) static int add_header(struct curl_slist **list,
                                                            const char *format, ...)
{
    struct curl_slist *longer;
    char line[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    longer = curl_slist_append(*list, line);
    if (longer == NULL)
        return -1;
    *list = longer;
    return 0;
}

static int make_headers(struct slot *slot, const struct t_options *o)
{
    int rc = add_header(&slot->headers, "Content-Type: %s", slot->request.body->type) ||
             add_header(&slot->headers, "X-Request-ID: %s", slot->request.id) ||
             add_header(&slot->headers, "Expect:");

    if (!o->keep_alive)
        rc = rc || add_header(&slot->headers, "Connection: close");
    for (int i = 0; i < o->n_headers; i++) {
        struct curl_slist *longer = curl_slist_append(slot->headers, o->header[i]);
        rc = rc || longer == NULL;
        slot->headers = longer != NULL ? longer : slot->headers;
    }
    return rc;
}

/* slot->request is filled. Returns 0, or -1: no memory. */
static int start(struct t_engine *engine, struct slot *slot, int64_t now_ns)
{
    const struct t_request *request = &slot->request;

    slot->sent = 0;
    fcgi_buffer_reset(&slot->body);
    slot->answer = (struct t_answer){.start_ns = request->due_ns ? request->due_ns : now_ns};
    snprintf(slot->answer.id, sizeof slot->answer.id, "%s", request->id);
    curl_slist_free_all(slot->headers);
    slot->headers = NULL;
    if (make_headers(slot, engine->options) ||
        curl_easy_setopt(slot->easy, CURLOPT_URL, request->target->url) ||
        curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers) ||
        curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body->n) ||
        curl_multi_add_handle(engine->multi, slot->easy) != CURLM_OK)
        return -1;
    engine->busy++;
    return 0;
}

static void finish(struct t_engine *engine, const struct t_source *source, CURL *easy,
                   CURLcode code)
{
    struct t_answer *answer;
    struct slot *slot;
    long value;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
    answer = &slot->answer;
    answer->end_ns = t_engine_now_ns();
    answer->code = slot->body.failed ? CURLE_OUT_OF_MEMORY : code;
    if (curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &value) == CURLE_OK)
        answer->status = (int)value;
    if (curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &value) == CURLE_OK)
        answer->error = (int)value;
    answer->body = slot->body.bytes;
    answer->n_body = slot->body.n;
    curl_multi_remove_handle(engine->multi, easy);
    source->done(source->ctx, &slot->request, answer);
    slot->free = engine->free;
    engine->free = slot;
    engine->busy--;
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* As many as there are slots and wishes. Returns when the source wants to be asked again. */
static int64_t fill(struct t_engine *engine, const struct t_source *source)
{
    int64_t wake_ns = INT64_MAX;

    while (engine->free != NULL && !engine->ended) {
        struct slot *slot = engine->free;
        int64_t now_ns = t_engine_now_ns();

        slot->request.due_ns = 0;
        enum t_next next = source->next(source->ctx, now_ns, &slot->request, &wake_ns);
        if (next == T_NEXT_WAIT)
            return wake_ns;
        if (next == T_NEXT_END) {
            engine->ended = 1;
        } else {
            engine->free = slot->free;
            if (start(engine, slot, now_ns) != 0)
                t_options_quit(T_EXIT_FAILED, "no memory for a request");
        }
    }
    return INT64_MAX;
}

/* Until something can be read or written, or wake_ns. */
static void wait(struct t_engine *engine, int64_t wake_ns)
{
    struct curl_waitfd timer = {.fd = engine->timer, .events = CURL_WAIT_POLLIN};
    struct itimerspec at = {0};
    uint64_t expired;

    if (wake_ns != INT64_MAX) {
        at.it_value.tv_sec = wake_ns / 1000000000;
        at.it_value.tv_nsec = wake_ns % 1000000000;
    }
    timerfd_settime(engine->timer, TFD_TIMER_ABSTIME, &at, NULL);
    curl_multi_poll(engine->multi, &timer, 1, LONGEST_POLL_MS, NULL);
    if (read(engine->timer, &expired, sizeof expired) < 0 && errno != EAGAIN)
        t_options_quit(T_EXIT_FAILED, "the timer: %s", strerror(errno));
}

static void abandon(struct t_engine *engine)
{
    for (int i = 0; i < engine->options->concurrency; i++)
        curl_multi_remove_handle(engine->multi, engine->slot[i].easy);
    engine->free = NULL;
    for (int i = 0; i < engine->options->concurrency; i++) {
        engine->slot[i].free = engine->free;
        engine->free = &engine->slot[i];
    }
    engine->busy = 0;
}

int t_engine_run(struct t_engine *engine, const struct t_source *source)
{
    struct CURLMsg *message;
    int running, left;

    engine->ended = 0;
    while (!*engine->stop) {
        int64_t wake_ns = fill(engine, source);
        int finished = 0;

        if (engine->busy == 0 && engine->ended)
            return 0;
        curl_multi_perform(engine->multi, &running);
        while ((message = curl_multi_info_read(engine->multi, &left)) != NULL)
            if (message->msg == CURLMSG_DONE) {
                finish(engine, source, message->easy_handle, message->data.result);
                finished++;
            }
        if (finished == 0)
            wait(engine, wake_ns);
    }
    abandon(engine);
    return -1;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

struct t_engine *t_engine_new(const struct t_options *options, const volatile sig_atomic_t *stop)
{
    struct t_engine *engine = calloc(1, sizeof *engine);

    if (engine == NULL)
        return NULL;
    engine->options = options;
    engine->stop = stop;
    engine->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    engine->slot = calloc((size_t)options->concurrency, sizeof *engine->slot);
    engine->multi = curl_multi_init();
    if (engine->timer < 0 || engine->slot == NULL || engine->multi == NULL)
        goto out;
    curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, (long)options->concurrency);
    for (int i = 0; i < options->concurrency; i++) {
        struct slot *slot = &engine->slot[i];
        slot->easy = curl_easy_init();
        if (slot->easy == NULL || set_options(slot, options))
            goto out;
        slot->free = engine->free;
        engine->free = slot;
    }
    return engine;
out:
    t_engine_free(engine);
    return NULL;
}

void t_engine_free(struct t_engine *engine)
{
    for (int i = 0; engine->slot != NULL && i < engine->options->concurrency; i++) {
        curl_easy_cleanup(engine->slot[i].easy);
        curl_slist_free_all(engine->slot[i].headers);
        fcgi_buffer_free(&engine->slot[i].body);
    }
    curl_multi_cleanup(engine->multi);
    if (engine->timer >= 0)
        close(engine->timer);
    free(engine->slot);
    free(engine);
}
