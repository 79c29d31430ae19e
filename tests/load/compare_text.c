/* compare_text.c: a comparison for people and for programs. */
#include <stdio.h>
#include <string.h>

#include "fcgi/buffer.h"
#include "fcgi/json.h"
#include "tests/load/compare.h"
#include "tests/load/report.h"

enum { MAX_SHOWN = 100 };

static const char *const verdict_keys[T_VERDICTS] = {"same", "close", "other", "failed"};

void t_compare_said(const struct t_side *side, char *text, size_t size)
{
    const struct t_prediction *top = &side->said.top[0];
    char number[32] = "";

    if (!side->outcome.ok) {
        snprintf(text, size, "%s %s", side->outcome.row, side->outcome.detail);
        return;
    }
    if (top->probability >= 0)
        snprintf(number, sizeof number, " %.4f", top->probability);
    if (top->label[0] != '\0')
        snprintf(text, size, "%.96s%s", top->label, number);
    else
        snprintf(text, size, "class %d%s", top->class_id, number);
    for (char *c = text; *c != '\0'; c++) /* it goes to a terminal */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

/* ---- text ------------------------------------------------------------------------------------ */

static void show_counts(const struct t_compare *compare)
{
    size_t all = compare->pictures.n, answered = all - compare->verdicts[T_VERDICT_FAILED];
    size_t agreed = answered - compare->verdicts[T_VERDICT_OTHER];

    t_report_line(stdout, "Pictures                      %8zu", all);
    t_report_line(stdout, "Not answered by the old, new  %8zu, %zu", compare->tally[T_OLD].failed,
                  compare->tally[T_NEW].failed);
    t_report_line(stdout, "The same first class          %8zu of %zu (%.2f %%)", agreed, answered,
                  answered > 0 ? 100 * (double)agreed / (double)answered : 0);
    t_report_line(stdout, "  of these, probability differs by more than %g: %zu",
                  T_COMPARE_TOLERANCE, compare->verdicts[T_VERDICT_CLOSE]);
    if (compare->largest != NULL)
        t_report_line(stdout, "Largest probability difference  %.4f (%s)",
                      compare->largest->difference, compare->largest->name);
}

static void show_latencies(const struct t_compare *compare)
{
    t_report_line(stdout, "Latency of successes, ms      %12s %12s", "old", "new");
    for (int i = 0; i < T_SHARES; i++)
        t_report_line(stdout, "  %-27s %12.1f %12.1f", t_tally_shares[i].name,
                      t_tally_percentile(&compare->tally[T_OLD], t_tally_shares[i].share),
                      t_tally_percentile(&compare->tally[T_NEW], t_tally_shares[i].share));
}

static void show_causes(const struct t_compare *compare)
{
    t_report_line(stdout, "Likely causes");
    for (int i = T_CAUSE_NONE + 1; i < T_CAUSES; i++)
        if (compare->causes[i] > 0)
            t_report_line(stdout, "  %s: %zu", t_cause_name((enum t_cause)i), compare->causes[i]);
}

static void show_cases(const struct t_compare *compare)
{
    size_t shown = 0, n = compare->pictures.n - compare->verdicts[T_VERDICT_SAME];
    char old[160], new[160];

    for (size_t i = 0; i < compare->pictures.n && shown < MAX_SHOWN; i++) {
        const struct t_case *c = &compare->cases[i];
        if (c->verdict == T_VERDICT_SAME)
            continue;
        shown++;
        t_compare_said(&c->side[T_OLD], old, sizeof old);
        t_compare_said(&c->side[T_NEW], new, sizeof new);
        printf("%s: old %s, new %s\n", c->path, old, new);
        if (c->verdict == T_VERDICT_FAILED)
            printf("    ids %s, %s\n", c->side[T_OLD].id, c->side[T_NEW].id);
        else
            printf("    %s\n", c->why);
    }
    if (n > shown)
        printf("and %zu more; --json and --html have all of them\n", n - shown);
    for (int i = T_CAUSE_NONE + 1; i < T_CAUSES; i++)
        if (compare->causes[i] > 0 && t_cause_remedy((enum t_cause)i)[0] != '\0')
            printf("%s: %s\n", t_cause_name((enum t_cause)i), t_cause_remedy((enum t_cause)i));
}

void t_compare_text(const struct t_compare *compare)
{
    t_report_rule(stdout, 0);
    t_report_line(stdout, "old  %s", compare->target[T_OLD].shown);
    t_report_line(stdout, "new  %s", compare->target[T_NEW].shown);
    t_report_rule(stdout, 1);
    show_counts(compare);
    t_report_rule(stdout, 1);
    show_latencies(compare);
    if (compare->verdicts[T_VERDICT_CLOSE] + compare->verdicts[T_VERDICT_OTHER] > 0) {
        t_report_rule(stdout, 1);
        show_causes(compare);
    }
    t_report_rule(stdout, 2);
    show_cases(compare);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_member(struct fcgi_buffer *out, const char *name, const char *text)
{
    fcgi_buffer_format(out, "\"%s\":", name);
    fcgi_json_string(out, text);
}

static void json_side(struct fcgi_buffer *out, const char *name, const struct t_side *side)
{
    const struct t_prediction *top = &side->said.top[0];

    fcgi_buffer_format(out, ",\"%s\":{", name);
    json_member(out, "request_id", side->id);
    fcgi_buffer_format(out, ",\"ms\":%.3f,", side->ms);
    if (side->outcome.ok) {
        json_member(out, "label", top->label);
        fcgi_buffer_format(out, ",\"class_id\":%d,\"probability\":%.6f}", top->class_id,
                           top->probability);
    } else {
        json_member(out, "row", side->outcome.row);
        fcgi_buffer_text(out, ",");
        json_member(out, "detail", side->outcome.detail);
        fcgi_buffer_text(out, "}");
    }
}

static void json_cases(struct fcgi_buffer *out, const struct t_compare *compare)
{
    const char *comma = "";

    fcgi_buffer_text(out, ",\"differences\":[");
    for (size_t i = 0; i < compare->pictures.n; i++) {
        const struct t_case *c = &compare->cases[i];
        if (c->verdict == T_VERDICT_SAME)
            continue;
        fcgi_buffer_format(out, "%s{\"verdict\":\"%s\",\"cause\":\"%s\",\"difference\":%.6f,",
                           comma, verdict_keys[c->verdict], t_cause_key(c->cause), c->difference);
        json_member(out, "file", c->path);
        fcgi_buffer_text(out, ",");
        json_member(out, "why", c->why);
        json_side(out, "old", &c->side[T_OLD]);
        json_side(out, "new", &c->side[T_NEW]);
        fcgi_buffer_text(out, "}");
        comma = ",";
    }
    fcgi_buffer_text(out, "]");
}

static void json_latency(struct fcgi_buffer *out, const char *name, const struct t_tally *tally)
{
    fcgi_buffer_format(out, "\"%s\":{", name);
    for (int i = 0; i < T_SHARES; i++)
        fcgi_buffer_format(out, "%s\"%s\":%.3f", i > 0 ? "," : "", t_tally_shares[i].name,
                           t_tally_percentile(tally, t_tally_shares[i].share));
    fcgi_buffer_text(out, "}");
}

static void json_counts(struct fcgi_buffer *out, const struct t_compare *compare)
{
    fcgi_buffer_format(out, ",\"pictures\":%zu,\"failed_old\":%zu,\"failed_new\":%zu",
                       compare->pictures.n, compare->tally[T_OLD].failed,
                       compare->tally[T_NEW].failed);
    for (int i = 0; i < T_VERDICTS; i++)
        fcgi_buffer_format(out, ",\"%s\":%zu", verdict_keys[i], compare->verdicts[i]);
    fcgi_buffer_format(out, ",\"largest_difference\":%.6f,",
                       compare->largest != NULL ? compare->largest->difference : 0);
    json_member(out, "largest_difference_file",
                compare->largest != NULL ? compare->largest->path : "");
    fcgi_buffer_text(out, ",\"causes\":{");
    for (int i = T_CAUSE_NONE + 1; i < T_CAUSES; i++)
        fcgi_buffer_format(out, "%s\"%s\":%zu", i > T_CAUSE_NONE + 1 ? "," : "",
                           t_cause_key((enum t_cause)i), compare->causes[i]);
    fcgi_buffer_text(out, "}");
}

void t_compare_json(const struct t_compare *compare)
{
    struct fcgi_buffer out = {0};

    fcgi_buffer_text(&out, "{");
    json_member(&out, "old", compare->target[T_OLD].shown);
    fcgi_buffer_text(&out, ",");
    json_member(&out, "new", compare->target[T_NEW].shown);
    json_counts(&out, compare);
    fcgi_buffer_text(&out, ",\"latency_ms\":{");
    json_latency(&out, "old", &compare->tally[T_OLD]);
    fcgi_buffer_text(&out, ",");
    json_latency(&out, "new", &compare->tally[T_NEW]);
    fcgi_buffer_text(&out, "}");
    json_cases(&out, compare);
    fcgi_buffer_text(&out, "}\n");
    if (out.failed)
        t_options_quit(T_EXIT_FAILED, "no memory for the report");
    fwrite(out.bytes, 1, out.n, stdout);
    fcgi_buffer_free(&out);
}
