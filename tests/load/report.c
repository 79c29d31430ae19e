/* report.c: a box with the result, then the failures one by one. */
#include "tests/load/report.h"

#include <stdarg.h>
#include <string.h>

#include "fcgi/buffer.h"
#include "fcgi/json.h"

enum { WIDTH = 66, SHOWN_FAILURES = 20, MAX_LINE = 1024 };

/* ---- the box --------------------------------------------------------------------------------- */

void t_report_rule(FILE *out, int which)
{
    static const char *const left[] = {"┌", "├", "└"}, *const right[] = {"┐", "┤", "┘"};

    fputs(left[which], out);
    for (int i = 0; i < WIDTH + 2; i++)
        fputs("─", out);
    fprintf(out, "%s\n", right[which]);
}

void t_report_line(FILE *out, const char *format, ...)
{
    char line[MAX_LINE];
    va_list args;
    int columns = 0;
    size_t end = 0;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (; line[end] != '\0'; end++) /* a column for each character, not for each byte */
        if (((unsigned char)line[end] & 0xC0) != 0x80 && columns++ == WIDTH)
            break;
    if (line[end] != '\0')
        columns = WIDTH;
    fprintf(out, "│ %.*s%*s │\n", (int)end, line, WIDTH - columns, "");
}

/* "HTTP 503: 4 — overloaded", or the reasons below where there are several. Returns the index after
 * that kind. */
static int breakdown_row(const struct t_tally *tally, int first)
{
    const struct t_row *row = tally->row;
    int end = first;
    size_t n = 0;

    for (; end < tally->n_rows && strcmp(row[end].row, row[first].row) == 0; end++)
        n += row[end].n;
    if (end == first + 1) {
        t_report_line(stdout, "  %s: %zu%s%s", row[first].row, n,
                      row[first].detail[0] != '\0' ? " — " : "", row[first].detail);
        return end;
    }
    t_report_line(stdout, "  %s: %zu", row[first].row, n);
    for (int i = first; i < end; i++)
        t_report_line(stdout, "    %s: %zu",
                      row[i].detail[0] != '\0' ? row[i].detail : "nothing said", row[i].n);
    return end;
}

static void latencies(const struct t_tally *tally)
{
    for (int i = 0; i < T_SHARES; i++)
        t_report_line(stdout, "  %s %26.1f ms", t_tally_shares[i].name,
                      t_tally_percentile(tally, t_tally_shares[i].share));
}

static void failures(const struct t_tally *tally)
{
    size_t shown = tally->n_failures < SHOWN_FAILURES ? tally->n_failures : SHOWN_FAILURES;

    if (shown > 0)
        printf("Failures:\n");
    for (size_t i = 0; i < shown; i++) {
        const struct t_failure *f = &tally->failure[i];
        printf("  wave %d, request %zu: %s%s%s after %.0f ms, id %s, %s\n", f->wave, f->number,
               f->outcome.row, f->outcome.detail[0] != '\0' ? " " : "", f->outcome.detail, f->ms,
               f->id, f->path);
    }
    if (tally->failed > shown)
        printf("  and %zu more; --json lists %d\n", tally->failed - shown, T_MAX_FAILURES);
}

static void describe(const struct t_load *load)
{
    const struct t_options *o = load->options;
    char each[64], how[64];

    if (o->duration_ms > 0)
        snprintf(each, sizeof each, "%.10g s", (double)o->duration_ms / 1e3);
    else
        snprintf(each, sizeof each, "%d requests", o->requests);
    if (o->rate > 0)
        snprintf(how, sizeof how, "%.10g a second", o->rate);
    else
        snprintf(how, sizeof how, "%d at once", o->concurrency);
    t_report_line(stdout, "%s", load->target->shown);
    t_report_line(stdout, "%d of %d waves of %s, %s%s%s", load->waves, o->waves, each, how,
                  o->keep_alive ? ", connections kept" : "",
                  load->interrupted ? "; interrupted" : "");
    if (load->warm_up > 0)
        t_report_line(stdout, "after %d to warm up, which are not counted", load->warm_up);
}

void t_report_text(const struct t_load *load)
{
    const struct t_tally *tally = &load->tally;

    t_report_rule(stdout, 0);
    describe(load);
    t_report_rule(stdout, 1);
    t_report_line(stdout, "Successes     %18zu", tally->ok);
    t_report_line(stdout, "Failures      %18zu", tally->failed);
    t_report_line(stdout, "Success rate  %18.2f %%", t_tally_success_percent(tally));
    t_report_line(stdout, "Time          %18.2f s", tally->seconds);
    t_report_line(stdout, "Successes/s   %18.2f", t_tally_per_second(tally));
    if (tally->ok > 0) {
        t_report_rule(stdout, 1);
        t_report_line(stdout, "Latency of successes");
        latencies(tally);
    }
    if (tally->n_rows > 0) {
        t_report_rule(stdout, 1);
        t_report_line(stdout, "Breakdown of failures");
        for (int i = 0; i < tally->n_rows;)
            i = breakdown_row(tally, i);
    }
    t_report_rule(stdout, 2);
    failures(tally);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_text(struct fcgi_buffer *out, const char *name, const char *text)
{
    fcgi_buffer_format(out, "\"%s\":", name);
    fcgi_json_string(out, text);
}

static void json_breakdown(struct fcgi_buffer *out, const struct t_tally *tally)
{
    fcgi_buffer_text(out, ",\"breakdown\":[");
    for (int i = 0; i < tally->n_rows; i++) {
        fcgi_buffer_text(out, i > 0 ? ",{" : "{");
        json_text(out, "row", tally->row[i].row);
        fcgi_buffer_text(out, ",");
        json_text(out, "detail", tally->row[i].detail);
        fcgi_buffer_format(out, ",\"count\":%zu}", tally->row[i].n);
    }
    fcgi_buffer_text(out, "]");
}

static void json_failures(struct fcgi_buffer *out, const struct t_tally *tally)
{
    fcgi_buffer_text(out, ",\"failures\":[");
    for (size_t i = 0; i < tally->n_failures; i++) {
        const struct t_failure *f = &tally->failure[i];
        fcgi_buffer_format(out, "%s{\"wave\":%d,\"request\":%zu,\"ms\":%.3f,", i > 0 ? "," : "",
                           f->wave, f->number, f->ms);
        json_text(out, "row", f->outcome.row);
        fcgi_buffer_text(out, ",");
        json_text(out, "detail", f->outcome.detail);
        fcgi_buffer_text(out, ",");
        json_text(out, "request_id", f->id);
        fcgi_buffer_text(out, ",");
        json_text(out, "file", f->path);
        fcgi_buffer_text(out, "}");
    }
    fcgi_buffer_text(out, "]");
}

void t_report_json(const struct t_load *load)
{
    const struct t_tally *tally = &load->tally;
    struct fcgi_buffer out = {0};

    fcgi_buffer_text(&out, "{");
    json_text(&out, "url", load->target->shown);
    fcgi_buffer_format(&out, ",\"waves\":%d,\"warm_up\":%d,\"interrupted\":%s", load->waves,
                       load->warm_up, load->interrupted ? "true" : "false");
    fcgi_buffer_format(&out, ",\"ok\":%zu,\"failed\":%zu,\"success_percent\":%.4f", tally->ok,
                       tally->failed, t_tally_success_percent(tally));
    fcgi_buffer_format(&out, ",\"seconds\":%.6f,\"per_second\":%.4f", tally->seconds,
                       t_tally_per_second(tally));
    fcgi_buffer_format(&out, ",\"min_ms\":%.3f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p95_ms\":%.3f",
                       t_tally_percentile(tally, 0), t_tally_percentile(tally, 0.5),
                       t_tally_percentile(tally, 0.9), t_tally_percentile(tally, 0.95));
    fcgi_buffer_format(&out, ",\"p99_ms\":%.3f,\"max_ms\":%.3f", t_tally_percentile(tally, 0.99),
                       t_tally_percentile(tally, 1));
    json_breakdown(&out, tally);
    json_failures(&out, tally);
    fcgi_buffer_text(&out, "}\n");
    if (out.failed)
        t_options_quit(T_EXIT_FAILED, "no memory for the report");
    fwrite(out.bytes, 1, out.n, stdout);
    fcgi_buffer_free(&out);
}
