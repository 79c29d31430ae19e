/* compare_html.c: a comparison as one page that needs nothing else. All text in it is escaped:
 * labels come from servers, names from whoever made the files. */
#include <errno.h>
#include <nettle/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/version.h"
#include "tests/load/compare.h"

enum { MAX_PICTURES = 40, MAX_PICTURE_BYTES = 256 << 10 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<title>Two services, the same pictures</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }\n"
    "body { max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }\n"
    "table { border-collapse: collapse; margin: 1rem 0; }\n"
    "th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; "
    "border-bottom: 1px solid #8884; }\n"
    "td.n { text-align: right; font-variant-numeric: tabular-nums; }\n"
    "img { max-width: 10rem; max-height: 7rem; }\n"
    "code { overflow-wrap: anywhere; }\n"
    "</style></head><body>\n";

static void text(FILE *out, const char *s)
{
    for (; *s != '\0'; s++)
        switch (*s) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            putc(*s, out);
        }
}

static void summary(FILE *out, const struct t_compare *compare)
{
    size_t all = compare->pictures.n, failed = compare->verdicts[T_VERDICT_FAILED];
    size_t other = compare->verdicts[T_VERDICT_OTHER];

    fputs("<h1>Two services, the same pictures</h1>\n<table>\n<tr><th>old<td><code>", out);
    text(out, compare->target[T_OLD].shown);
    fputs("</code>\n<tr><th>new<td><code>", out);
    text(out, compare->target[T_NEW].shown);
    fprintf(out,
            "</code>\n<tr><th>pictures<td>%zu\n<tr><th>the same first class<td>%zu of %zu (%.2f "
            "%%)\n<tr><th>of these, probability differs by more than %g<td>%zu\n"
            "<tr><th>not answered by the old, the new<td>%zu, %zu\n",
            all, all - failed - other, all - failed,
            all > failed ? 100 * (double)(all - failed - other) / (double)(all - failed) : 0,
            T_COMPARE_TOLERANCE, compare->verdicts[T_VERDICT_CLOSE], compare->tally[T_OLD].failed,
            compare->tally[T_NEW].failed);
    if (compare->largest != NULL) {
        fprintf(out, "<tr><th>largest probability difference<td>%.4f, <code>",
                compare->largest->difference);
        text(out, compare->largest->name);
        fputs("</code>\n", out);
    }
    fputs("</table>\n", out);
}

static void latencies(FILE *out, const struct t_compare *compare)
{
    fputs("<h2>Latency, ms</h2>\n<table>\n<tr><th><th>old<th>new\n", out);
    for (int i = 0; i < T_SHARES; i++)
        fprintf(out, "<tr><th>%s<td class=\"n\">%.1f<td class=\"n\">%.1f\n", t_tally_shares[i].name,
                t_tally_percentile(&compare->tally[T_OLD], t_tally_shares[i].share),
                t_tally_percentile(&compare->tally[T_NEW], t_tally_shares[i].share));
    fputs("</table>\n", out);
}

static void causes(FILE *out, const struct t_compare *compare)
{
    fputs("<h2>Likely causes</h2>\n<table>\n", out);
    for (int i = T_CAUSE_NONE + 1; i < T_CAUSES; i++) {
        if (compare->causes[i] == 0)
            continue;
        fprintf(out, "<tr><th>%s<td class=\"n\">%zu<td>", t_cause_name((enum t_cause)i),
                compare->causes[i]);
        text(out, t_cause_remedy((enum t_cause)i));
        putc('\n', out);
    }
    fputs("</table>\n", out);
}

/* The picture itself, where it is small enough and of a kind that browsers show. */
static int picture(FILE *out, const char *path)
{
    uint8_t *bytes;
    char sentence[256], *encoded = NULL;
    size_t n;
    int shown = 0;

    if (t_pictures_read(path, &bytes, &n, sentence) != 0)
        return 0;
    const char *type = t_pictures_type(bytes, n);
    if (n <= MAX_PICTURE_BYTES && strncmp(type, "image/", 6) == 0 &&
        (encoded = malloc(BASE64_ENCODE_RAW_LENGTH(n) + 1)) != NULL) {
        base64_encode_raw(encoded, n, bytes);
        encoded[BASE64_ENCODE_RAW_LENGTH(n)] = '\0';
        fprintf(out, "<img alt=\"\" src=\"data:%s;base64,%s\">", type, encoded);
        shown = 1;
    }
    free(encoded);
    free(bytes);
    return shown;
}

static void said(FILE *out, const struct t_side *side)
{
    char sentence[160];

    t_compare_said(side, sentence, sizeof sentence);
    fputs("<td>", out);
    text(out, sentence);
    if (!side->outcome.ok) {
        fputs("<br><code>", out);
        text(out, side->id);
        fputs("</code>", out);
    }
}

static void cases(FILE *out, const struct t_compare *compare)
{
    int pictures = 0;

    fputs("<h2>Where they differ</h2>\n<table>\n<tr><th><th>file<th>old<th>new<th>why\n", out);
    for (size_t i = 0; i < compare->pictures.n; i++) {
        const struct t_case *c = &compare->cases[i];
        if (c->verdict == T_VERDICT_SAME)
            continue;
        fputs("<tr><td>", out);
        if (pictures < MAX_PICTURES)
            pictures += picture(out, c->path);
        fputs("<td><code>", out);
        text(out, c->name);
        fputs("</code>", out);
        said(out, &c->side[T_OLD]);
        said(out, &c->side[T_NEW]);
        fputs("<td>", out);
        text(out, c->verdict == T_VERDICT_FAILED ? "not answered" : c->why);
        putc('\n', out);
    }
    fputs("</table>\n", out);
}

int t_compare_html(const struct t_compare *compare, FILE *out)
{
    size_t differ = compare->verdicts[T_VERDICT_CLOSE] + compare->verdicts[T_VERDICT_OTHER];

    fputs(head, out);
    summary(out, compare);
    latencies(out, compare);
    if (differ > 0)
        causes(out, compare);
    if (differ + compare->verdicts[T_VERDICT_FAILED] > 0)
        cases(out, compare);
    else
        fputs("<p>They agree about every picture.\n", out);
    fprintf(out, "<p>resnet-load %s\n</body></html>\n", fcgi_version);
    int failed = ferror(out);
    return fclose(out) != 0 || failed ? -1 : 0;
}
