/* faults.c: part of build/faults/ only. See faults.h for what can be asked for. */
#include "fcgi/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/attack.h"
#include "fcgi/log.h"

enum { MAX_FAULTS = 16, MAX_TEXT = 64, EVERY_LAYER = -2, NO_LAYER = -1 };

enum kind { SLEEP, LOOP, SEGV, ABRT, FAIL, ATTACK, LEAK, N_KINDS };
static const char *const kinds[N_KINDS] = {"sleep", "loop",   "segv", "abrt",
                                           "fail",  "attack", "leak"};
static const char *const places[] = {"load", "selftest", "read", "decode", "resize", "write", "*"};

struct fault {
    enum kind kind;
    int64_t n;             /* sleep: milliseconds; leak: bytes */
    char attack[MAX_TEXT]; /* its name */
    char place[MAX_TEXT], needle[MAX_TEXT];
    int layer;
    int64_t count; /* -1: without end */
};

/* One in a process, like the variable that it comes from. */
static struct {
    struct fault fault[MAX_FAULTS];
    int n;
    _Atomic int64_t *done; /* [MAX_FAULTS] */
    const struct fcgi_request *request;
    void *leaked; /* the last block, which knows the one before */
} faults;

/* ---- reading the variable ------------------------------------------------------------------- */

/* Cuts *rest at the first of the separators, which becomes *found. */
static char *cut(char **rest, const char *separators, char *found)
{
    char *word = *rest, *end = word + strcspn(word, separators);

    *found = *end;
    *rest = *end ? end + 1 : end;
    *end = 0;
    return word;
}

static int is_place(const char *place)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (!strcmp(places[i], place))
            return 1;
    return 0;
}

static int parse_kind(struct fault *fault, char *text)
{
    char separator, *name = cut(&text, "=", &separator);
    int kind = 0;

    while (kind < N_KINDS && strcmp(kinds[kind], name))
        kind++;
    fault->kind = (enum kind)kind;
    if (kind == SLEEP || kind == LEAK)
        return fcgi_request_number(text, strlen(text), 86400000, &fault->n);
    if (kind == ATTACK && fcgi_attack_is_known(text)) {
        snprintf(fault->attack, sizeof fault->attack, "%s", text);
        return 0;
    }
    return kind == N_KINDS || separator ? -1 : 0;
}

/* KIND[=N]@PLACE[~TEXT][:COUNT] */
static int parse(struct fault *fault, char *text)
{
    char separator;

    memset(fault, 0, sizeof *fault);
    fault->count = -1;
    fault->layer = NO_LAYER;
    if (parse_kind(fault, cut(&text, "@", &separator)) || !separator)
        return -1;
    char *place = cut(&text, "~:", &separator);
    if (strlen(place) >= MAX_TEXT)
        return -1;
    strcpy(fault->place, *place ? place : "decode");
    if (separator == '~') {
        char *needle = cut(&text, ":", &separator);
        if (!*needle || strlen(needle) >= MAX_TEXT)
            return -1;
        strcpy(fault->needle, needle);
    }
    return separator == ':' ? fcgi_request_number(text, strlen(text), INT64_MAX, &fault->count) : 0;
}

static int map_counts(char text[512])
{
    const char *path = getenv("RESNET_FAULT_STATE");
    size_t bytes = MAX_FAULTS * sizeof *faults.done;
    int fd = -1, flags = MAP_SHARED | MAP_ANONYMOUS;

    if (path && *path) {
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
            snprintf(text, 512, "RESNET_FAULT_STATE: %.400s: %s", path, strerror(errno));
            return -1;
        }
        flags = MAP_SHARED;
    }
    void *done = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0)
        close(fd);
    if (done == MAP_FAILED) {
        snprintf(text, 512, "RESNET_FAULT_STATE cannot be mapped: %s", strerror(errno));
        return -1;
    }
    faults.done = done;
    return 0;
}

int fcgi_faults_open(char text[512])
{
    static char copy[4096];
    const char *value = getenv("RESNET_FAULT");
    char separator, *rest = copy;

    snprintf(copy, sizeof copy, "%s", value ? value : "");
    while (*rest) {
        char *one = cut(&rest, ";", &separator);
        if (faults.n == MAX_FAULTS || parse(&faults.fault[faults.n], one)) {
            snprintf(text, 512,
                     "RESNET_FAULT: expected at most %d of KIND[=N]@PLACE[~TEXT]"
                     "[:COUNT], found \"%.200s\"",
                     MAX_FAULTS, value);
            return -1;
        }
        faults.n++;
    }
    return map_counts(text);
}

void fcgi_faults_network(const struct kn_net *net)
{
    for (struct fault *fault = faults.fault; fault < faults.fault + faults.n; fault++) {
        size_t n = strlen(fault->place);

        if (!strcmp(fault->place, "*"))
            fault->layer = EVERY_LAYER;
        for (int i = 0; !is_place(fault->place) && i < net->n_layers; i++) {
            const char *name = net->layer[i].name;
            if (fault->layer == NO_LAYER && !strncmp(name, fault->place, n) &&
                (!name[n] || name[n] == '.'))
                fault->layer = i;
        }
        if (fault->layer == NO_LAYER && !is_place(fault->place))
            fcgi_log(FCGI_LOG_WARN, "fault", "reason=%s place=%s", "no such layer", fault->place);
    }
}

/* ---- doing it ------------------------------------------------------------------------------- */

void fcgi_faults_request(const struct fcgi_request *request)
{
    faults.request = request;
}

static int concerns(const struct fault *fault)
{
    const struct fcgi_request *request = faults.request;

    if (!fault->needle[0])
        return 1;
    return request && (strstr(request->path, fault->needle) ||
                       strstr(request->query, fault->needle) || strstr(request->id, fault->needle));
}

/* Whether its turn has come; counts it. */
static int is_due(const struct fault *fault)
{
    _Atomic int64_t *done = &faults.done[fault - faults.fault];

    if (!concerns(fault))
        return 0;
    if (atomic_fetch_add(done, 1) < fault->count || fault->count < 0)
        return 1;
    atomic_fetch_sub(done, 1);
    return 0;
}

static void nap(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&left, &left) && errno == EINTR)
        continue;
}

static void leak(size_t bytes)
{
    size_t n = bytes > sizeof(void *) ? bytes : sizeof(void *);
    void **block = malloc(n);

    if (!block)
        return;
    memset(block, 1, n);
    *block = faults.leaked;
    faults.leaked = (void *)block;
}

static void harm(const struct fault *fault)
{
    if (fault->layer != EVERY_LAYER)
        fcgi_log(FCGI_LOG_WARN, "fault", "kind=%s place=%s request_id=%s nginx_id=%s",
                 kinds[fault->kind], fault->place, faults.request ? faults.request->id : "",
                 faults.request ? faults.request->nginx_id : "");
    switch (fault->kind) {
    case SLEEP:
        nap(fault->n);
        break;
    case LEAK:
        leak((size_t)fault->n);
        break;
    case LOOP:
        for (volatile unsigned turns = 0;; turns++)
            continue;
    case ATTACK:
        fcgi_attack(fault->attack, faults.request ? faults.request->id : "");
        break;
    case SEGV: {
        volatile char *nowhere = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *nowhere = 0;
        break;
    }
    default:
        abort();
    }
}

void fcgi_faults_layer(int layer)
{
    for (struct fault *fault = faults.fault; fault < faults.fault + faults.n; fault++)
        if (fault->kind != FAIL && (fault->layer == layer || fault->layer == EVERY_LAYER) &&
            is_due(fault))
            harm(fault);
}

void fcgi_faults_at(const char *place)
{
    for (struct fault *fault = faults.fault; fault < faults.fault + faults.n; fault++)
        if (fault->kind != FAIL && !strcmp(fault->place, place) && is_due(fault))
            harm(fault);
}

int fcgi_faults_fail(const char *place)
{
    for (const struct fault *fault = faults.fault; fault < faults.fault + faults.n; fault++)
        if (fault->kind == FAIL && !strcmp(fault->place, place) && is_due(fault))
            return 1;
    return 0;
}
