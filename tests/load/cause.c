/* cause.c: why two services differ about a picture. Each suspicion is an experiment: what differs
 * is taken away, both are asked again, and the cause is named if they then agree. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/load/compare.h"

struct search {
    struct t_compare *compare;
    struct t_target fp32[T_SIDES];
    int drawn_asked;
    struct t_side drawn[T_DRAWN][T_SIDES];

    /* the picture in hand */
    struct t_case *c;
    uint8_t *bytes; /* without EXIF, where that is in the way */
    size_t n;
    struct t_side side[T_SIDES]; /* the last answers about it */
    int turned;                  /* EXIF has been taken away, and an answer changed */
    int narrow, refused;         /* bits of sides: computes in less than fp32; will not in fp32 */
};

static const char *const side_name[T_SIDES] = {"old", "new"};

static const struct {
    const char *key, *name, *remedy;
} causes[T_CAUSES] = {
    [T_CAUSE_NONE] = {"none", "none", ""},
    [T_CAUSE_EXIF] = {"exif", "EXIF orientation",
                      "RESNET_EXIF=ignore has resnet-fcgi look at pictures as they are stored."},
    [T_CAUSE_PRECISION] = {"precision", "precision",
                           "RESNET_PRECISION=fp32, or ?precision=fp32 "
                           "for one request, computes in fp32."},
    [T_CAUSE_EXIF_AND_PRECISION] = {"exif_and_precision", "EXIF orientation and precision",
                                    "RESNET_EXIF=ignore and RESNET_PRECISION=fp32."},
    [T_CAUSE_CHANNELS] = {"channels", "red and blue swapped",
                          "One of them feeds BGR where the network expects RGB."},
    [T_CAUSE_RESIZE] = {"resize", "resizing",
                        "resnet-pack pack --resize, --crop, --interpolation and --squash say how."},
    [T_CAUSE_WEIGHTS] = {"weights", "weights or normalisation",
                         "Pack the same weights; resnet-pack pack --mean and --std normalise."},
    [T_CAUSE_UNKNOWN] = {"unknown", "not found", ""},
};

const char *t_cause_name(enum t_cause cause)
{
    return causes[cause].name;
}

const char *t_cause_key(enum t_cause cause)
{
    return causes[cause].key;
}

const char *t_cause_remedy(enum t_cause cause)
{
    return causes[cause].remedy;
}

__attribute__((format(printf, 3, 4))) static int found(struct search *search, enum t_cause cause,
                                                       const char *format, ...)
{
    va_list args;

    search->c->cause = cause;
    va_start(args, format);
    vsnprintf(search->c->why, sizeof search->c->why, format, args);
    va_end(args);
    return 1;
}

static int agree(const struct t_side *a, const struct t_side *b)
{
    const struct t_side pair[T_SIDES] = {*a, *b};

    return t_compare_verdict(pair) == T_VERDICT_SAME;
}

static int ask(struct search *search, const struct t_target *target, struct t_side *side)
{
    return t_compare_ask(search->compare, target, search->c->name, search->bytes, search->n, side);
}

/* ---- EXIF ------------------------------------------------------------------------------------ */

static int without_exif(struct search *search)
{
    struct t_case *c = search->c;
    struct t_side side[T_SIDES];
    int changed[T_SIDES];

    if (c->orientation == 1)
        return 0;
    search->n = t_pictures_strip_exif(search->bytes, search->n);
    for (int i = 0; i < T_SIDES; i++) {
        if (ask(search, &search->compare->target[i], &side[i]) != 0 || !side[i].outcome.ok)
            return 0;
        changed[i] = !agree(&side[i], &c->side[i]);
    }
    memcpy(search->side, side, sizeof side);
    search->turned = changed[T_OLD] != changed[T_NEW];
    if (!search->turned || !agree(&side[T_OLD], &side[T_NEW]))
        return 0;
    return found(search, T_CAUSE_EXIF,
                 "EXIF orientation %d: the %s service turns the picture, the %s one does not; "
                 "without EXIF both say the same",
                 c->orientation, side_name[changed[T_NEW]], side_name[changed[T_OLD]]);
}

/* ---- precision ------------------------------------------------------------------------------- */

static void make_fp32_targets(struct search *search)
{
    for (int i = 0; i < T_SIDES; i++) {
        CURLU *parts = curl_url();
        if (curl_url_set(parts, CURLUPART_URL, search->compare->target[i].url, 0) != CURLUE_OK ||
            curl_url_set(parts, CURLUPART_QUERY, "precision=fp32", CURLU_APPENDQUERY) !=
                CURLUE_OK ||
            curl_url_get(parts, CURLUPART_URL, &search->fp32[i].url, 0) != CURLUE_OK)
            t_options_quit(T_EXIT_FAILED, "no memory for a URL");
        curl_url_cleanup(parts);
    }
}

static int computes_in_less(const struct t_side *side)
{
    return side->precision[0] != '\0' && strcmp(side->precision, "fp32") != 0;
}

static const char *narrow_precision(const struct search *search, int *which)
{
    *which = search->narrow & 1 << T_NEW ? T_NEW : T_OLD;
    return search->c->side[*which].precision;
}

static int in_fp32(struct search *search)
{
    struct t_side side;
    int which;

    search->narrow = search->refused = 0;
    for (int i = 0; i < T_SIDES; i++) {
        if (!computes_in_less(&search->c->side[i]))
            continue;
        search->narrow |= 1 << i;
        if (ask(search, &search->fp32[i], &side) == 0 && side.outcome.ok)
            search->side[i] = side;
        else
            search->refused |= 1 << i;
    }
    if (search->narrow == 0 || !agree(&search->side[T_OLD], &search->side[T_NEW]))
        return 0;
    const char *precision = narrow_precision(search, &which);
    return found(search, search->turned ? T_CAUSE_EXIF_AND_PRECISION : T_CAUSE_PRECISION,
                 "%sthe %s service computes in %s; in fp32 both say the same",
                 search->turned ? "one of them turns the picture as its EXIF says, and " : "",
                 side_name[which], precision);
}

/* ---- drawn pictures -------------------------------------------------------------------------- */

static int ask_about_drawn(struct search *search)
{
    uint8_t *bytes;
    size_t n;

    for (int which = 0; which < T_DRAWN && !search->drawn_asked; which++) {
        if (t_drawn_make(which, &bytes, &n) != 0)
            t_options_quit(T_EXIT_FAILED, "no memory to draw with");
        for (int i = 0; i < T_SIDES; i++) {
            int in_fp32 = search->narrow & 1 << i && !(search->refused & 1 << i);
            t_compare_ask(search->compare, in_fp32 ? &search->fp32[i] : &search->compare->target[i],
                          "drawn.png", bytes, n, &search->drawn[which][i]);
        }
        free(bytes);
    }
    search->drawn_asked = 1;
    for (int which = 0; which < T_DRAWN; which++)
        for (int i = 0; i < T_SIDES; i++)
            if (!search->drawn[which][i].outcome.ok)
                return -1;
    return 0;
}

static int drawn_agree(const struct search *search, int old, int new)
{
    return agree(&search->drawn[old][T_OLD], &search->drawn[new][T_NEW]);
}

static int of_drawn(struct search *search)
{
    if (ask_about_drawn(search) != 0)
        return found(search, T_CAUSE_UNKNOWN,
                     "not found: drawn pictures (PNG), which would tell, were not answered");
    if (!drawn_agree(search, T_DRAWN_GRAY, T_DRAWN_GRAY))
        return 0;
    if (drawn_agree(search, T_DRAWN_RED, T_DRAWN_RED) &&
        drawn_agree(search, T_DRAWN_BLUE, T_DRAWN_BLUE))
        return found(search, T_CAUSE_RESIZE,
                     drawn_agree(search, T_DRAWN_PATTERN, T_DRAWN_PATTERN)
                         ? "resizing: where nothing has to be resized (256 x 256) both say the "
                           "same, so filter or antialiasing differ, or the decoder"
                         : "resizing: about plain colours both say the same, about a pattern of "
                           "256 x 256 they do not, so size or crop differ");
    if (drawn_agree(search, T_DRAWN_RED, T_DRAWN_BLUE) &&
        drawn_agree(search, T_DRAWN_BLUE, T_DRAWN_RED))
        return found(search, T_CAUSE_CHANNELS,
                     "red and blue swapped: what one says of plain red the other says of plain "
                     "blue");
    return 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void find_one(struct search *search)
{
    struct t_case *c = search->c;
    int which;

    memcpy(search->side, c->side, sizeof search->side);
    search->turned = 0;
    if (without_exif(search) || in_fp32(search) || of_drawn(search))
        return;
    if (search->narrow != 0) {
        const char *precision = narrow_precision(search, &which);
        found(search, T_CAUSE_PRECISION,
              "the %s service computes in %s%s, and even about plain colours both differ",
              side_name[which], precision, search->refused ? ", and would not in fp32" : "");
    } else {
        found(search, T_CAUSE_WEIGHTS,
              "weights or normalisation: even about plain colours they differ");
    }
}

void t_cause_find(struct t_compare *compare)
{
    struct search search = {.compare = compare};
    size_t n = compare->verdicts[T_VERDICT_CLOSE] + compare->verdicts[T_VERDICT_OTHER];
    char text[256];

    if (n == 0)
        return;
    if (compare->progress != NULL)
        fprintf(compare->progress, "Asking again about %zu, to find out why they differ\n", n);
    make_fp32_targets(&search);
    for (size_t i = 0; i < compare->pictures.n; i++) {
        search.c = &compare->cases[i];
        if (search.c->verdict != T_VERDICT_CLOSE && search.c->verdict != T_VERDICT_OTHER)
            continue;
        if (t_pictures_read(search.c->path, &search.bytes, &search.n, text) != 0)
            found(&search, T_CAUSE_UNKNOWN, "not found: the file is gone");
        else
            find_one(&search);
        free(search.bytes);
        compare->causes[search.c->cause]++;
    }
    for (int i = 0; i < T_SIDES; i++)
        curl_free(search.fp32[i].url);
}
