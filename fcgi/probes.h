/* probes.h: places where a tracer may look into a worker (USDT, provider `resnet`; README.md has
 * the table and examples). Each is one nop whose arguments are at hand anyway, until somebody
 * attaches to it; nothing has to be restarted for that. Times are nanoseconds, names are C strings.
 *
 * Needs the header of systemtap-sdt-dev where the program is built, and nothing where it runs.
 * Without that header there are no probes.
 */
#ifndef FCGI_PROBES_H
#define FCGI_PROBES_H

#include <stdint.h>

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#endif
#endif
#ifndef DTRACE_PROBE2
#define DTRACE_PROBE2(provider, name, a, b)       ((void)(a), (void)(b))
#define DTRACE_PROBE3(provider, name, a, b, c)    ((void)(a), (void)(b), (void)(c))
#define DTRACE_PROBE4(provider, name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

/* age_ns: since the web server passed the request on. */
static inline void fcgi_probes_request_start(const char *id, const char *nginx_id, const char *path,
                                             int64_t age_ns)
{
    DTRACE_PROBE4(resnet, request__start, id, nginx_id, path, age_ns);
}

static inline void fcgi_probes_request_done(const char *id, int status, int64_t ns, int images)
{
    DTRACE_PROBE4(resnet, request__done, id, status, ns, images);
}

static inline void fcgi_probes_stage_start(const char *id, const char *stage)
{
    DTRACE_PROBE2(resnet, stage__start, id, stage);
}

/* Each stage that was reached, when the request's answer has been sent. */
static inline void fcgi_probes_stage_done(const char *id, const char *stage, int64_t ns)
{
    DTRACE_PROBE3(resnet, stage__done, id, stage, ns);
}

/* threads: that the layer may use. */
static inline void fcgi_probes_layer_start(const char *id, int layer, const char *name, int threads)
{
    DTRACE_PROBE4(resnet, layer__start, id, layer, name, threads);
}

static inline void fcgi_probes_layer_done(const char *id, int layer, const char *name, int64_t ns)
{
    DTRACE_PROBE4(resnet, layer__done, id, layer, name, ns);
}

#endif
