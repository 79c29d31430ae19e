/* doctor_service.c: is it there, is it whole, and does it compute as fast as this CPU lets it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawn/doctor.h"
#include "spawn/spawn.h"

/* ---- supervisor and workers ----------------------------------------------------------------- */

/* The value of a label in a line of /metrics. */
static void read_label(const char *line, const char *name, char *out, size_t size)
{
    char key[40];
    size_t n = strcspn(line, "\n");
    const char *at = memmem(line, n, key, (size_t)snprintf(key, sizeof key, "%s=\"", name));

    out[0] = '\0';
    if (!at)
        return;
    at += strlen(key);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\"\n"), at);
}

static int64_t read_sample(const char *metrics, const char *sample)
{
    const char *at = strstr(metrics, sample);

    return at ? strtoll(at + strlen(sample), NULL, 10) : 0;
}

static void read_build(struct spawn_doctor *doctor)
{
    static const char name[] = "\nresnet_build_info{";
    struct spawn_doctor_build *build = &doctor->build;
    struct fcgi_buffer body = {0};

    if (spawn_view_ask(&doctor->config, "/metrics", &body) == 200) {
        const char *line = strstr(body.bytes, name);
        if (line) {
            line += sizeof name - 1;
            read_label(line, "isa", build->isa, sizeof build->isa);
            read_label(line, "engine", build->engine, sizeof build->engine);
            read_label(line, "precision", build->precision, sizeof build->precision);
            read_label(line, "openblas_core", build->blas_core, sizeof build->blas_core);
        }
        build->mapped_bytes = read_sample(body.bytes, "\nresnet_model_bytes{kind=\"mapped\"} ");
        build->private_bytes = read_sample(body.bytes, "\nresnet_model_bytes{kind=\"private\"} ");
    }
    fcgi_buffer_free(&body);
}

static int count_ready(const struct spawn_view *view)
{
    int ready = 0;

    for (int i = 0; i < view->n_workers; i++)
        ready += !strcmp(view->worker[i].state, "idle") || !strcmp(view->worker[i].state, "busy");
    return ready;
}

static void check_workers(struct spawn_doctor *doctor)
{
    const struct spawn_view *view = &doctor->view;
    int ready = count_ready(view), wanted = doctor->config.workers;
    char remedy[512];

    snprintf(remedy, sizeof remedy, "%s%.400s",
             view->reason[0] ? "mend what the last one said, then resnet-ctl reload: "
                             : "see the log: each worker says why it cannot start",
             view->reason);
    if (!ready)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "workers", remedy, "none of %d is ready",
                         view->n_workers);
    else if (wanted != FCGI_AUTO && ready < wanted)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "workers", remedy, "%d of %d are ready", ready,
                         wanted);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "workers", NULL, "%d are ready", ready);
    if (view->reason[0] && ready)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "reload", "mend it, then resnet-ctl reload",
                         "the last one failed, and the old generation serves on: %.400s",
                         view->reason);
}

static void check_supervisor(struct spawn_doctor *doctor)
{
    if (!doctor->supervisor) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "supervisor",
                         "start it (systemctl start resnet-fcgi), or name its directory with "
                         "--run-dir; with RESNET_IDLE_EXIT the next request starts it",
                         "no resnet-spawn holds %.200s/lock", doctor->config.run_dir);
        return;
    }
    doctor->answers = !spawn_view_try(&doctor->view, &doctor->config);
    if (!doctor->answers) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "supervisor",
                         "run it as root or as a member of the socket's group; if it still is "
                         "silent, see the log for resnet-control",
                         "pid %d runs, but ctl.sock does not answer: %s", (int)doctor->supervisor,
                         strerror(errno));
        return;
    }
    spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "supervisor", NULL, "pid %d, generation %d",
                     (int)doctor->supervisor, doctor->view.generation);
    read_build(doctor);
    check_workers(doctor);
}

/* ---- engine --------------------------------------------------------------------------------- */

/* Whether the CPU's list of features has one; a word, so that avx does not stand for avx2. */
static bool has_feature(const char *features, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = features; (at = strstr(at, name)); at += n)
        if (at > features && at[-1] == ' ' && (at[n] == ' ' || at[n] == '\0' || at[n] == '\n'))
            return true;
    return false;
}

/* " fpu vme ... ": empty where /proc/cpuinfo has no such line (not x86). */
static void read_features(const struct spawn_doctor *doctor, char *out, size_t size)
{
    char path[4096];
    char *line = NULL;
    size_t capacity = 0;

    out[0] = '\0';
    snprintf(path, sizeof path, "%s/proc/cpuinfo", doctor->root);
    FILE *file = fopen(path, "re");
    while (file && !out[0] && getline(&line, &capacity, file) > 0)
        if (!strncmp(line, "flags", 5) && strchr(line, ':'))
            snprintf(out, size, "%s", strchr(line, ':') + 1);
    free(line);
    if (file)
        fclose(file);
}

static bool has_avx512(const char *features)
{
    return has_feature(features, "avx512f") && has_feature(features, "avx512bw") &&
           has_feature(features, "avx512dq") && has_feature(features, "avx512vl");
}

/* How far up a name of RESNET_ISA is; those that nobody knows are below all. */
static int step_of(const char *isa)
{
    static const char *const ladder[] = {"ref",    "blas",       "avx2",
                                         "avx512", "avx512vnni", "avx512bf16"};
    int n = sizeof ladder / sizeof *ladder;

    for (int i = 0; i < n; i++)
        if (!strcmp(isa, ladder[i]))
            return i;
    return -1;
}

static const char *best_isa(const char *features, const char *precision)
{
    if (!has_feature(features, "avx2") || !has_feature(features, "fma"))
        return "blas";
    if (!has_avx512(features))
        return "avx2";
    if (!strcmp(precision, "int8") && has_feature(features, "avx512_vnni"))
        return "avx512vnni";
    if (!strcmp(precision, "bf16") && has_feature(features, "avx512_bf16"))
        return "avx512bf16";
    return "avx512";
}

static void check_isa(struct spawn_doctor *doctor, const char *features)
{
    const struct spawn_doctor_build *build = &doctor->build;
    const char *lowered = doctor->config.isa;

    if (*lowered && step_of(lowered) < step_of(best_isa(features, build->precision)))
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "isa", "take RESNET_ISA away and restart",
                         "RESNET_ISA=%s: this CPU has %s", lowered,
                         best_isa(features, build->precision));
    else if (strcmp(build->engine, "native") != 0 && has_feature(features, "avx2"))
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "isa",
                         "pack the model again (resnet-pack): it lacks the layout of our kernels",
                         "the engine is %s, although this CPU has AVX2", build->engine);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "isa", NULL, "%s in %s", build->isa,
                         build->precision);
}

static const char *best_blas_core(const char *features)
{
    if (!has_feature(features, "avx2") || !has_feature(features, "fma"))
        return "";
    if (!has_avx512(features))
        return "Haswell";
    return has_feature(features, "avx512_bf16") ? "Cooperlake" : "SkylakeX";
}

static void check_blas(struct spawn_doctor *doctor, const char *features)
{
    const char *core = doctor->build.blas_core, *best = best_blas_core(features);

    if (doctor->blas_core[0] || doctor->blas_l2[0])
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "openblas-env",
                         "take OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE out of the service's "
                         "environment: we choose by the CPU, other programs would be slowed down",
                         "a stray %s=%s stands in the service's environment",
                         doctor->blas_core[0] ? "OPENBLAS_CORETYPE" : "OPENBLAS_L2_SIZE",
                         doctor->blas_core[0] ? doctor->blas_core : doctor->blas_l2);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "openblas-env", NULL, "nothing stray");
    if (*best && *core && strcmp(core, best) != 0 && !doctor->config.isa[0])
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "openblas-core",
                         "see that resnet-fcgi is the packaged build",
                         "OpenBLAS runs its kernels for %s; this CPU is one for %s", core, best);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "openblas-core", NULL, "%s",
                         *core ? core : "not known");
}

/* ---- model ---------------------------------------------------------------------------------- */

/* What resnet-pack beside us says of the model. Returns what spawn_procs_run() does. */
static int run_pack(const char *command, const char *model, char *out, size_t size)
{
    char program[4096];
    const char *argv[] = {program, command, model, NULL};
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - sizeof "/resnet-pack");
    char *slash = n > 0 ? memrchr(program, '/', (size_t)n) : NULL;

    if (!slash)
        return -1;
    memcpy(slash, "/resnet-pack", sizeof "/resnet-pack");
    return spawn_procs_run(argv, out, size);
}

/* The last line: what went wrong is said there. */
static const char *last_line(char *text)
{
    size_t n = strlen(text);

    while (n && text[n - 1] == '\n')
        text[--n] = '\0';
    char *newline = strrchr(text, '\n');
    return newline ? newline + 1 : text;
}

static void check_model(struct spawn_doctor *doctor)
{
    const char *model = doctor->config.model, *served = doctor->view.model_sha256;
    const char *command = doctor->skips_model ? "info" : "verify";
    char out[16384];
    int code = access(model, R_OK) ? -2 : run_pack(command, model, out, sizeof out);

    if (code == -2)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "model",
                         "put a packed model there, or set RESNET_MODEL", "%.300s: %s", model,
                         strerror(errno));
    else if (code < 0 || code == 127)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "model", "install it beside resnet-ctl",
                         "resnet-pack, which could check it, cannot be run");
    else if (code)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, "model",
                         "pack it again or copy it anew, aside and then by mv; then resnet-ctl "
                         "reload",
                         "%.200s is damaged: %.280s", model, last_line(out));
    else if (doctor->answers && served[0] && !strstr(out, served))
        spawn_doctor_say(doctor, SPAWN_DOCTOR_WARN, "model", "resnet-ctl reload",
                         "another one lies on disk than the workers serve (%.12s)", served);
    else
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, "model", NULL, "%.300s: %s", model,
                         doctor->skips_model ? "readable" : "all checksums and the self-test hold");
}

void spawn_doctor_service(struct spawn_doctor *doctor)
{
    char features[8192];

    check_supervisor(doctor);
    check_model(doctor);
    if (!doctor->answers)
        return;
    read_features(doctor, features, sizeof features);
    check_isa(doctor, features);
    check_blas(doctor, features);
}
