/* report.c: resnet-bench's two ways of telling what it measured. */
#include "tests/bench/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double t_median(double *ms, int n)
{
    qsort(ms, (size_t)n, sizeof *ms, ascending);
    return n % 2 ? ms[n / 2] : (ms[n / 2 - 1] + ms[n / 2]) / 2;
}

void t_result_times(struct t_result *result, double *ms, int n)
{
    result->n_runs = n;
    result->median_ms = t_median(ms, n);
    result->min_ms = ms[0];
    result->p99_ms = ms[(n * 99 + 99) / 100 - 1];
}

static double gflop(const struct t_result *r, const struct kn_layer *l)
{
    return 2e-9 * r->batch * (double)(l ? kn_layer_macs(l) : kn_net_macs(kn_plan_net(r->plan)));
}

/* What int8 does are no floating point operations. */
static const char *unit_of(const struct t_result *r)
{
    return strcmp(r->precision, "int8") == 0 ? "GOP" : "GFLOP";
}

/* GFLOP/s, and its share of the peak in percent, or 0. */
static double rate(double gflop, double ms)
{
    return ms > 0 ? gflop / ms * 1e3 : 0;
}

static double share(const struct t_result *r, double gflops)
{
    return r->peak_gflops > 0 ? 100 * gflops / r->peak_gflops : 0;
}

/* Operations really executed, and the least time that one core's units and memory allow for them:
 * weights come from memory when all of them together are larger than L3, values from L3 when a
 * layer's are larger than L2. Threads share the work, and memory's bandwidth with it. */
static double bound_ms(const struct t_result *r, int layer, double *executed_gflop)
{
    const struct kn_net *net = kn_plan_net(r->plan);
    struct kn_work work, other;
    int64_t weights = 0;
    for (int i = 0; i < net->n_layers; i++) {
        kn_plan_work(r->plan, i, &other);
        weights += other.weight_bytes;
    }
    kn_plan_work(r->plan, layer, &work);
    *executed_gflop = 2e-9 * (double)work.macs * r->batch;
    if (r->peak_gflops <= 0 || r->l2_gbs <= 0 || r->l3_gbs <= 0 || r->memory_gbs <= 0)
        return 0;
    double compute = *executed_gflop / r->peak_gflops;
    double from = weights > kn_cpu()->l3_bytes ? r->memory_gbs : r->l3_gbs;
    double values = work.value_bytes > kn_cpu()->l2_bytes ? r->l3_gbs : r->l2_gbs;
    double moved = 1e-9 * r->batch / r->threads *
                   ((double)work.weight_bytes / from + (double)work.value_bytes / values);
    return 1e3 * (compute > moved ? compute : moved);
}

static void text_layers(const struct t_result *r)
{
    const struct kn_net *net = kn_plan_net(r->plan);
    printf("read bandwidth of one core: L2 %.0f, L3 %.0f, memory %.0f GB/s\n", r->l2_gbs, r->l3_gbs,
           r->memory_gbs);
    printf("\n%-22s %-27s %-15s %8s %7s %8s %6s/s %6s %6s\n", "layer", "shape", "algorithm", "ms",
           unit_of(r), "executed", unit_of(r), "peak", "bound");
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        char shape[64];
        snprintf(shape, sizeof shape, "%dx%dx%d>%dx%dx%d %dx%d/%d", l->ic, l->ih, l->iw, l->oc,
                 l->oh, l->ow, l->kh, l->kw, l->stride);
        double executed, least = bound_ms(r, i, &executed);
        double gflops = rate(executed, r->layer_ms[i]);
        double of_bound = r->layer_ms[i] > 0 ? 100 * least / r->layer_ms[i] : 0;
        printf("%-22s %-27s %-15s %8.3f %7.3f %8.3f %8.1f %5.1f%% %5.1f%%\n", l->name, shape,
               kn_plan_algorithm(r->plan, i), r->layer_ms[i], gflop(r, l), executed, gflops,
               share(r, gflops), of_bound);
    }
}

void t_report_text(const struct t_result *r, int layers)
{
    const struct kn_net *net = kn_plan_net(r->plan);
    double gflops = rate(gflop(r, NULL), r->median_ms);
    printf("%s, %dx%d px, batch %d, %s, %s, threads %d\n", net->arch, net->height, net->width,
           r->batch, r->precision, kn_plan_isa(r->plan), r->threads);
    printf("%s; OpenBLAS core %s; private memory %.1f MiB\n", kn_cpu()->brand, kn_blas_core(),
           (double)kn_plan_bytes(r->plan) / (1 << 20));
    printf("forward pass: min %.2f ms, median %.2f ms, p99 %.2f ms of %d runs; CPU/wall %.2f\n",
           r->min_ms, r->median_ms, r->p99_ms, r->n_runs, r->cpu_per_wall);
    printf("%.1f %s/s", gflops, unit_of(r));
    if (r->peak_gflops > 0)
        printf(", %.1f %% of the measured peak of %.1f", share(r, gflops), r->peak_gflops);
    putchar('\n');
    if (layers)
        text_layers(r);
}

/* The strings that come here (a CPU's brand, names of ours) are ASCII. */
static void json_string(const char *key, const char *value)
{
    printf("\"%s\":\"", key);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            putchar('\\');
        if (*value >= ' ')
            putchar(*value);
    }
    printf("\",");
}

static void json_layers(const struct t_result *r)
{
    const struct kn_net *net = kn_plan_net(r->plan);
    printf(",\"layers\":[");
    for (int i = 0; i < net->n_layers; i++) {
        const struct kn_layer *l = &net->layer[i];
        double work = gflop(r, l), gflops = rate(work, r->layer_ms[i]);
        printf("%s{", i ? "," : "");
        json_string("layer", l->name);
        json_string("algorithm", kn_plan_algorithm(r->plan, i));
        printf("\"in\":[%d,%d,%d],\"out\":[%d,%d,%d],\"kernel\":[%d,%d],\"stride\":%d,", l->ic,
               l->ih, l->iw, l->oc, l->oh, l->ow, l->kh, l->kw, l->stride);
        printf("\"median_ms\":%.4f,\"gflop\":%.5f,\"gflops\":%.2f,\"peak_percent\":%.2f,",
               r->layer_ms[i], work, gflops, share(r, gflops));
        double executed, least = bound_ms(r, i, &executed);
        printf("\"executed_gflop\":%.5f,\"bound_ms\":%.4f}", executed, least);
    }
    putchar(']');
}

void t_report_json(const struct t_result *r, int layers)
{
    const struct kn_net *net = kn_plan_net(r->plan);
    double gflops = rate(gflop(r, NULL), r->median_ms);
    putchar('{');
    json_string("arch", net->arch);
    json_string("precision", r->precision);
    json_string("isa", kn_plan_isa(r->plan));
    json_string("cpu", kn_cpu()->brand);
    json_string("openblas_core", kn_blas_core());
    printf("\"height\":%d,\"width\":%d,\"threads\":%d,\"batch\":%d,\"runs\":%d,", net->height,
           net->width, r->threads, r->batch, r->n_runs);
    printf("\"min_ms\":%.4f,\"median_ms\":%.4f,\"p99_ms\":%.4f,", r->min_ms, r->median_ms,
           r->p99_ms);
    printf("\"gflop\":%.5f,\"gflops\":%.2f,\"peak_gflops\":%.2f,\"peak_percent\":%.2f,",
           gflop(r, NULL), gflops, r->peak_gflops, share(r, gflops));
    printf("\"cpu_per_wall\":%.3f,\"cpu_ms\":%.4f,\"private_bytes\":%zu", r->cpu_per_wall,
           r->cpu_ms, kn_plan_bytes(r->plan));
    if (layers)
        json_layers(r);
    puts("}");
}
