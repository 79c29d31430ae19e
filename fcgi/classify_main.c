/* classify_main.c: resnet-classify: the worker's classifier on files, without any server. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/buffer.h"
#include "fcgi/classify.h"
#include "fcgi/classify_args.h"
#include "fcgi/classify_files.h"
#include "fcgi/cpus.h"
#include "fcgi/json.h"
#include "fcgi/npy.h"
#include "fcgi/preprocess.h"
#include "fcgi/version.h"
#include "weights/digest.h"

enum { EXIT_SOME_FAILED = 1, BAR_WIDTH = 32 };

enum output { LOGITS, FEATURES, TENSOR, CROP, N_OUTPUTS };

struct program {
    struct fcgi_classify_args args;
    struct fcgi_classifier classifier;
    struct fcgi_image_limits limits;
    struct fcgi_follow follow;
    int threads;
    const char *output_path[N_OUTPUTS];
    struct fcgi_npy_writer output[N_OUTPUTS];
    struct fcgi_prediction *top; /* [top_k] */
    struct fcgi_buffer line;
    struct wt_digest_logits digest; /* of all logits, where --verify asks for it */
    int bar;                        /* 1: a progress bar is on the terminal */
    int exit_code;
};

static void complain(const char *sentence)
{
    fprintf(stderr, "resnet-classify: %s\n", sentence);
}

/* ---- progress -------------------------------------------------------------------------------- */

static void clear_bar(const struct program *program)
{
    if (program->bar)
        fputs("\r\033[K", stderr);
}

static void show_bar(const struct program *program, size_t done, size_t all)
{
    static const char full[BAR_WIDTH + 1] = "################################";

    if (program->bar)
        fprintf(stderr, "\r[%-*.*s] %zu/%zu", BAR_WIDTH, (int)(done * BAR_WIDTH / all), full, done,
                all);
}

/* ---- output ---------------------------------------------------------------------------------- */

/* A tab or a line end in a file's name would be taken for the table's own. */
static void print_name(const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '\t' || *name == '\n' || *name == '\\')
            putchar('\\');
        putchar(*name == '\t' ? 't' : *name == '\n' ? 'n' : *name);
    }
}

static void print_table(const struct program *program, const char *name, int k)
{
    for (int i = 0; i < k; i++) {
        print_name(name);
        printf("\t%d\t%.6f\t%s\n", program->top[i].class_id, (double)program->top[i].probability,
               program->top[i].label);
    }
}

static void print_line(struct program *program)
{
    fcgi_buffer_text(&program->line, "}\n");
    if (program->line.failed)
        complain("no memory for a line of JSON");
    else
        fwrite(program->line.bytes, 1, program->line.n, stdout);
}

static void begin_line(struct program *program, const char *name)
{
    fcgi_buffer_reset(&program->line);
    fcgi_buffer_text(&program->line, "{\"file\":");
    fcgi_json_string(&program->line, name);
}

static void print_json(struct program *program, const char *name, int k)
{
    struct fcgi_buffer *line = &program->line;

    begin_line(program, name);
    fcgi_buffer_text(line, ",\"predictions\":[");
    for (int i = 0; i < k; i++) {
        fcgi_buffer_format(line, "%s{\"class_id\":%d,\"label\":", i > 0 ? "," : "",
                           program->top[i].class_id);
        fcgi_json_string(line, program->top[i].label);
        fcgi_buffer_text(line, ",\"probability\":");
        fcgi_json_float(line, program->top[i].probability);
        fcgi_buffer_text(line, "}");
    }
    fcgi_buffer_text(line, "]");
    print_line(program);
}

/* Files named by the user fail aloud; the rest goes on. */
static void report_failure(struct program *program, const char *name, const char *code,
                           const char *sentence)
{
    clear_bar(program);
    fprintf(stderr, "resnet-classify: %s: %s\n", name, sentence);
    program->exit_code = EXIT_SOME_FAILED;
    if (!program->args.json)
        return;
    begin_line(program, name);
    fcgi_buffer_text(&program->line, ",\"error\":");
    fcgi_json_string(&program->line, sentence);
    fcgi_buffer_format(&program->line, ",\"code\":\"%s\"", code);
    print_line(program);
}

static void report_top(struct program *program, const char *name)
{
    int k = fcgi_classify_top(&program->classifier, 0, program->args.top_k, program->top);

    clear_bar(program);
    if (program->args.json)
        print_json(program, name, k);
    else
        print_table(program, name, k);
}

static int open_outputs(struct program *program)
{
    const struct wt_model *model = &program->classifier.model;
    const int64_t side = model->recipe.crop;
    const struct {
        const char *path;
        enum fcgi_npy_type type;
        int ndim;
        int64_t shape[3];
    } outputs[N_OUTPUTS] = {
        [LOGITS] = {program->args.logits, FCGI_NPY_F4, 1, {model->net.classes}},
        [FEATURES] = {program->args.features, FCGI_NPY_F4, 1, {model->net.features}},
        [TENSOR] = {program->args.dump_tensor, FCGI_NPY_F4, 3, {3, side, side}},
        [CROP] = {program->args.dump_crop, FCGI_NPY_U1, 3, {side, side, 3}},
    };

    for (int i = 0; i < N_OUTPUTS; i++) {
        program->output_path[i] = outputs[i].path;
        if (outputs[i].path == NULL)
            continue;
        if (fcgi_npy_create(&program->output[i], outputs[i].path, outputs[i].type, outputs[i].ndim,
                            outputs[i].shape) != 0) {
            fprintf(stderr, "resnet-classify: %s cannot be written: %s\n", outputs[i].path,
                    strerror(errno));
            return -1;
        }
    }
    return 0;
}

/* A failed write shows when the file is closed. */
static void append_outputs(struct program *program)
{
    const struct fcgi_classifier *classifier = &program->classifier;
    const struct wt_model *model = &classifier->model;
    const void *rows[N_OUTPUTS] = {[LOGITS] = classifier->logits,
                                   [FEATURES] = classifier->features,
                                   [TENSOR] = classifier->input,
                                   [CROP] = classifier->crop};

    wt_digest_logits_add(&program->digest, classifier->logits, (size_t)model->net.classes);
    if (program->output[TENSOR].file != NULL && fcgi_classifier_is_exact(classifier))
        fcgi_preprocess_normalise(classifier->crop, &model->recipe, classifier->input);
    for (int i = 0; i < N_OUTPUTS; i++)
        if (program->output[i].file != NULL)
            fcgi_npy_append(&program->output[i], rows[i]);
}

static void close_outputs(struct program *program)
{
    for (int i = 0; i < N_OUTPUTS; i++)
        if (program->output[i].file != NULL && fcgi_npy_close(&program->output[i]) != 0) {
            fprintf(stderr, "resnet-classify: %s cannot be written whole: %s\n",
                    program->output_path[i], strerror(errno));
            program->exit_code = EXIT_SOME_FAILED;
        }
}

/* ---- input ----------------------------------------------------------------------------------- */

static void classify_file(struct program *program, const struct fcgi_classify_file *file,
                          const struct fcgi_span *image)
{
    struct fcgi_classify_times times;
    struct fcgi_image_info info;
    struct fcgi_err err;
    int code;

    if (file->listed &&
        fcgi_image_probe(image->bytes, image->n, &info, &err) == FCGI_E_UNSUPPORTED_MEDIA_TYPE) {
        clear_bar(program);
        fprintf(stderr, "resnet-classify: %s: skipped: %s\n", file->path, err.text);
        return;
    }
    code = fcgi_classify_images(&program->classifier, image, 1, &program->limits,
                                program->args.config.exif, &times, &program->follow, &err);
    if (code != FCGI_E_OK) {
        report_failure(program, file->path, fcgi_error_code(err.code), err.text);
        return;
    }
    append_outputs(program);
    report_top(program, file->path);
}

static void classify_files(struct program *program, const struct fcgi_classify_files *files)
{
    uint8_t *bytes = NULL;
    size_t size = 0;

    for (size_t i = 0; i < files->n; i++) {
        char text[256];
        int64_t n = fcgi_classify_files_read(files->file[i].path, &bytes, &size, text);

        show_bar(program, i, files->n);
        if (n < 0)
            report_failure(program, files->file[i].path, "cannot_be_read", text);
        else
            classify_file(program, &files->file[i], &(struct fcgi_span){bytes, (size_t)n});
    }
    clear_bar(program);
    free(bytes);
}

static void classify_paths(struct program *program)
{
    struct fcgi_classify_files files = {NULL, 0, 0};
    char text[256];

    for (int i = 0; i < program->args.n_paths; i++)
        if (fcgi_classify_files_add(&files, program->args.paths[i], text) != 0) {
            complain(text);
            program->exit_code = EXIT_SOME_FAILED;
        }
    program->bar = isatty(STDERR_FILENO) && files.n > 1;
    classify_files(program, &files);
    fcgi_classify_files_free(&files);
}

static int check_tensor(const struct program *program, const struct fcgi_npy *npy)
{
    const struct kn_net *net = &program->classifier.model.net;

    if (npy->type == FCGI_NPY_F4 && npy->ndim == 4 && npy->shape[1] == 3 &&
        npy->shape[2] == net->height && npy->shape[3] == net->width)
        return 0;
    fprintf(stderr,
            "resnet-classify: %s: expected float32 [N,3,%d,%d], found %s with %d dimensions",
            program->args.tensor, net->height, net->width,
            npy->type == FCGI_NPY_F4 ? "float32" : "uint8", npy->ndim);
    for (int i = 0; i < npy->ndim; i++)
        fprintf(stderr, "%s%lld", i > 0 ? "," : ": ", (long long)npy->shape[i]);
    fputc('\n', stderr);
    return -1;
}

/* Row by row through the classifier's own input, which is aligned. */
static void classify_rows(struct program *program, const struct fcgi_npy *npy)
{
    struct fcgi_classifier *classifier = &program->classifier;
    size_t n = (size_t)npy->shape[0], row_bytes = n != 0 ? npy->data_bytes / n : 0;

    for (size_t i = 0; i < n; i++) {
        struct fcgi_classify_times times;
        struct fcgi_err err;
        char name[4200];

        show_bar(program, i, n);
        snprintf(name, sizeof(name), "%.4096s[%zu]", program->args.tensor, i);
        memcpy(classifier->input, npy->data + i * row_bytes, row_bytes);
        if (fcgi_classify_tensor(classifier, classifier->input, 1, &times, &program->follow,
                                 &err) != FCGI_E_OK) {
            report_failure(program, name, fcgi_error_code(err.code), err.text);
            continue;
        }
        append_outputs(program);
        report_top(program, name);
    }
    clear_bar(program);
}

static void classify_npy(struct program *program)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct fcgi_npy npy;
    char text[256];
    int64_t n = fcgi_classify_files_read(program->args.tensor, &bytes, &size, text);

    program->exit_code = EXIT_SOME_FAILED;
    if (n < 0) {
        complain(text);
    } else if (fcgi_npy_parse(bytes, (size_t)n, &npy, text) != 0) {
        fprintf(stderr, "resnet-classify: %s: %s\n", program->args.tensor, text);
    } else if (check_tensor(program, &npy) == 0) {
        program->exit_code = 0;
        program->bar = isatty(STDERR_FILENO) && npy.shape[0] > 1;
        classify_rows(program, &npy);
    }
    free(bytes);
}

/* ---- main ------------------------------------------------------------------------------------ */

static int all_threads(void *ctx, int layer)
{
    const struct program *program = ctx;

    (void)layer;
    return program->threads;
}

static int open_classifier(struct program *program)
{
    const struct fcgi_config *config = &program->args.config;
    struct fcgi_classifier_options options = {
        .path = config->model,
        .isa = *config->isa != '\0' ? config->isa : NULL,
        .precision = program->args.verify != NULL ? "int8" : config->precision,
        .max_images = 1};
    char text[512];

    program->threads = config->threads != FCGI_AUTO ? config->threads : fcgi_cpus_usable("");
    if (program->threads > KN_MAX_THREADS)
        program->threads = KN_MAX_THREADS;
    options.max_threads = program->threads;
    wt_digest_logits_begin(&program->digest);
    program->follow = (struct fcgi_follow){.between = all_threads, .ctx = program};
    program->limits.fast = config->decode_fast;
    program->limits.max_pixels = (uint64_t)config->max_pixels;
    program->limits.max_decode_bytes =
        config->max_decode_memory != FCGI_AUTO
            ? (uint64_t)config->max_decode_memory
            : (uint64_t)fcgi_cpus_decode_memory(fcgi_cpus_memory_limit(""), 0, 1);
    int code = fcgi_classifier_open(&program->classifier, &options, &program->follow, text);
    if (code != 0) {
        complain(text);
        return code;
    }
    program->top = calloc((size_t)program->args.top_k, sizeof(*program->top));
    if (program->top != NULL)
        return 0;
    complain("no memory for the best classes; fewer can be asked for (-k)");
    return FCGI_EXIT_TRY_LATER;
}

/* Says aloud what was found; a picture that failed has told already. */
static void verify(struct program *program)
{
    char found[65];

    wt_digest_logits_hex(&program->digest, found);
    if (program->exit_code == 0 && strcmp(found, program->args.verify) == 0) {
        fprintf(stderr, "resnet-classify: the logits are those of %s\n", found);
        return;
    }
    fprintf(stderr,
            "resnet-classify: the logits are not those of %s but of %s: another picture, model "
            "(X-Model; here %.12s), EXIF setting, or order of pictures\n",
            program->args.verify, found, program->classifier.model.sha256);
    program->exit_code = EXIT_SOME_FAILED;
}

static void print_version(void)
{
    printf("resnet-classify %s (commit %s), instruction sets %s, OpenBLAS core %s\n", fcgi_version,
           fcgi_commit, kn_isa_names(), kn_blas_core());
}

static int run(struct program *program)
{
    int code = open_classifier(program);
    if (code != 0)
        return code;
    if (open_outputs(program) != 0)
        return EXIT_SOME_FAILED;
    if (program->args.tensor != NULL)
        classify_npy(program);
    else
        classify_paths(program);
    close_outputs(program);
    if (program->args.verify != NULL)
        verify(program);
    if (fflush(stdout) != 0) {
        complain("standard output cannot be written");
        return EXIT_SOME_FAILED;
    }
    return program->exit_code;
}

int main(int argc, char **argv)
{
    struct program program = {.exit_code = 0};
    char text[256];
    int code = fcgi_classify_args_load(&program.args, argc, argv, complain, text);

    if (code != 0) {
        complain(text);
    } else if (program.args.config.help) {
        fcgi_classify_args_help(stdout);
    } else if (program.args.config.version) {
        print_version();
    } else {
        code = run(&program);
        fcgi_buffer_free(&program.line);
        free(program.top);
        if (program.classifier.plan != NULL)
            fcgi_classifier_close(&program.classifier);
    }
    fcgi_classify_args_free(&program.args);
    return code;
}
