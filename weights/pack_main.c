/* pack_main.c: resnet-pack, from weights as people have them to a model file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/calibrate.h"
#include "weights/pack_options.h"
#include "weights/pack_photographs.h"
#include "weights/recipe.h"
#include "weights/report.h"
#include "weights/sources.h"

enum { EXIT_USAGE = 64, EXIT_LATER = 75, EXIT_REFUSED = 78 };

/* Any number does; this one is the day of the paper. */
enum { SELFTEST_SEED = 20151210 };

static int report_error(const struct wt_err *err, int status)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr); /* over what is left of a progress line */
    fprintf(stderr, "resnet-pack: %s\n", wt_err_sentence(err));
    return status;
}

/* ---- progress, and giving up --------------------------------------------------------------- */

static volatile sig_atomic_t signal_seen;

static void note_signal(int number)
{
    signal_seen = number;
}

/* So that Ctrl-C leaves no temporary file behind. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = note_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is an error of write(), not a death */
}

static int show_progress(void *ctx, const char *what, double share)
{
    (void)ctx;
    if (isatty(STDERR_FILENO)) {
        int done = (int)(share * 40);
        fprintf(stderr, "\r%-10s [%.*s%*s] %3d %%", what, done,
                "========================================", 40 - done, "", (int)(share * 100));
        if (share >= 1)
            fputs("\r\033[K", stderr);
    }
    return signal_seen;
}

static const struct wt_progress progress = {.report = show_progress};

/* ---- commands ------------------------------------------------------------------------------ */

/* For what was read. */
static int status_of(const struct wt_err *err)
{
    return err->code == WT_ENOMEM ? EXIT_LATER : EXIT_REFUSED;
}

/* Pictures drawn here do for random weights, which have no batch-norm to ask. */
static int draw_pictures(struct wt_crops *crops, int side, struct wt_err *err)
{
    enum { DRAWN = 4 };
    size_t bytes = 3 * (size_t)side * (size_t)side;

    *crops = (struct wt_crops){.pixels = calloc(DRAWN, bytes), .n = DRAWN, .side = side};
    if (crops->pixels == NULL)
        return wt_fail(err, WT_ENOMEM, "no memory for %d pictures", DRAWN);
    for (int i = 0; i < DRAWN; i++)
        wt_picture_draw(crops->pixels + (size_t)i * bytes, side, (uint64_t)i);
    return WT_OK;
}

static int calibrate(struct wt_int8 *int8, const struct wt_arguments *a,
                     const struct wt_folded *folded, const struct wt_pack *pack, struct wt_err *err)
{
    struct wt_crops crops = {0};
    int code = WT_OK;

    if (!(a->precisions >> WT_IN_INT8 & 1))
        return WT_OK;
    if (pack->synthetic)
        code = draw_pictures(&crops, pack->recipe->crop, err);
    else if (a->calibrate != NULL)
        code = wt_photographs_read(&crops, a->calibrate, pack->recipe, &progress, err);
    if (code == WT_OK)
        code = wt_calibrate(int8, folded, pack->recipe, crops.n > 0 ? &crops : NULL,
                            pack->synthetic, &progress, err);
    free(crops.pixels);
    return code;
}

/* Self-test, then the file. */
static int write_model(const struct wt_arguments *a, struct wt_pack *pack, struct wt_err *err)
{
    struct wt_rnm_selftest *selftest;
    int code = wt_selftest_compute(&selftest, pack->net, pack->weights, pack->recipe, SELFTEST_SEED,
                                   &progress, err);

    if (code != WT_OK)
        return report_error(err, status_of(err));
    pack->selftest = selftest;
    code = wt_pack_write(pack, a->output, &progress, err);
    free(selftest);
    return code == WT_OK ? 0 : report_error(err, code == WT_EIO ? EXIT_LATER : status_of(err));
}

static int finish(const struct wt_arguments *a, const struct wt_folded *folded,
                  struct wt_pack *pack)
{
    struct wt_int8 int8 = {0};
    char name[64];
    struct wt_err err;

    catch_signals();
    wt_pack_name(name, pack->net, pack->synthetic);
    pack->name = name;
    pack->precisions = a->precisions;
    pack->int8 = &int8;
    int status = calibrate(&int8, a, folded, pack, &err) == WT_OK
                     ? write_model(a, pack, &err)
                     : report_error(&err, status_of(&err));
    wt_calibrate_free(&int8);
    if (signal_seen != 0) {
        signal(signal_seen, SIG_DFL);
        raise(signal_seen);
    }
    if (status == 0)
        printf("%s: %s, %d classes\n", a->output, name, pack->net->classes);
    return status;
}

/* What the options say about pictures. */
static int set_recipe(struct wt_recipe *recipe, const struct wt_arguments *a)
{
    struct wt_err err;

    for (int i = 0; i < a->n_recipe; i++)
        if (wt_recipe_set(recipe, a->recipe[i][0], a->recipe[i][1], &err) != WT_OK)
            return report_error(&err, EXIT_USAGE);
    if (wt_recipe_check(recipe, &err) != WT_OK)
        return report_error(&err, EXIT_USAGE);
    return 0;
}

/* The recipe: what is known of these weights, then what the options say. */
static int choose_recipe(struct wt_recipe *recipe, const struct wt_arguments *a,
                         const struct wt_source *source)
{
    struct wt_known known;

    if (wt_sources_find(&known, source->sha256)) {
        *recipe = known.recipe;
        fprintf(stderr, "resnet-pack: %s is %s: resize %d, crop %d, %s\n", a->input, known.title,
                recipe->resize, recipe->crop, wt_recipe_interpolation(recipe->interpolation));
    } else {
        *recipe = wt_recipe_default;
        fprintf(stderr,
                "resnet-pack: %s is not among the weights known here: torchvision's V1 "
                "preprocessing is taken (resize %d, crop %d, %s) where no option says otherwise\n",
                a->input, recipe->resize, recipe->crop,
                wt_recipe_interpolation(recipe->interpolation));
    }
    return set_recipe(recipe, a);
}

static int pack_source(const struct wt_arguments *a, const struct wt_source *source)
{
    struct wt_folded folded = {0};
    struct wt_labels labels = {0};
    struct wt_recipe recipe;
    struct wt_err err;

    int status = choose_recipe(&recipe, a, source);
    if (status != 0)
        return status;
    if (wt_fold_source(&folded, source, recipe.crop, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    int code = a->labels != NULL ? wt_labels_read(&labels, a->labels, folded.net.classes, &err)
                                 : wt_labels_default(&labels, folded.net.classes, &err);
    if (code != WT_OK) {
        status = report_error(&err, status_of(&err));
    } else {
        struct wt_pack pack = {.net = &folded.net,
                               .weights = folded.weights,
                               .recipe = &recipe,
                               .labels = &labels,
                               .source_sha256 = source->sha256};
        status = finish(a, &folded, &pack);
    }
    wt_labels_free(&labels);
    wt_folded_free(&folded);
    return status;
}

static int is_same_file(const char *a, const char *b)
{
    struct stat sa, sb;

    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

static int command_pack(struct wt_arguments *a)
{
    struct wt_source source;
    struct wt_err err;

    if (a->input == NULL || a->output == NULL)
        wt_options_fail("pack needs weights and -o OUT.rnm");
    if (is_same_file(a->input, a->output))
        wt_options_fail("%s: would be written over itself", a->input);
    if (a->calibrate != NULL && !(a->precisions >> WT_IN_INT8 & 1))
        wt_options_fail("--calibrate is for int8; say --precision fp32,int8, or leave it out");
    if (wt_source_open(&source, a->input, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    int status = pack_source(a, &source);
    wt_source_close(&source);
    return status;
}

static int command_random(struct wt_arguments *a)
{
    struct wt_recipe recipe = wt_recipe_default;
    struct wt_folded folded = {0};
    struct wt_labels labels = {0};
    struct wt_err err;

    if (a->input != NULL || a->output == NULL)
        wt_options_fail("random needs -o OUT.rnm, and reads no file");
    int status = set_recipe(&recipe, a);
    if (status != 0)
        return status;
    if (wt_random_make(&folded, &a->random, recipe.crop, &err) != WT_OK)
        return report_error(&err, err.code == WT_ENOMEM ? EXIT_LATER : EXIT_USAGE);
    status = EXIT_LATER;
    if (wt_labels_synthetic(&labels, folded.net.classes, &err) != WT_OK) {
        report_error(&err, EXIT_LATER);
    } else {
        struct wt_pack pack = {.net = &folded.net,
                               .weights = folded.weights,
                               .recipe = &recipe,
                               .labels = &labels,
                               .synthetic = 1};
        status = finish(a, &folded, &pack);
    }
    wt_labels_free(&labels);
    wt_folded_free(&folded);
    return status;
}

static int command_info(struct wt_arguments *a)
{
    struct wt_view view;
    struct wt_err err;

    if (a->input == NULL)
        wt_options_fail("info needs a model file");
    if (wt_view_open(&view, a->input, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    a->json ? wt_report_json(&view, stdout) : wt_report_text(&view, stdout);
    wt_view_close(&view);
    return 0;
}

static int command_verify(struct wt_arguments *a)
{
    struct wt_err err;

    if (a->input == NULL)
        wt_options_fail("verify needs a model file");
    if (wt_report_verify(a->input, stdout, &progress, &err) != WT_OK)
        return report_error(&err, status_of(&err));
    return 0;
}

int main(int argc, char **argv)
{
    static int (*const run[])(struct wt_arguments *) = {
        [WT_COMMAND_PACK] = command_pack,
        [WT_COMMAND_RANDOM] = command_random,
        [WT_COMMAND_INFO] = command_info,
        [WT_COMMAND_VERIFY] = command_verify,
    };
    struct wt_arguments a;

    wt_options_parse(&a, argc, argv);
    int status = run[a.command](&a);
    return fflush(stdout) == 0 ? status : EXIT_LATER;
}
