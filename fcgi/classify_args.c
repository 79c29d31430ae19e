/* classify_args.c: flags that only resnet-classify has; what is not among them goes to the option
 * table of all programs. */
#include "fcgi/classify_args.h"

#include <stdlib.h>
#include <string.h>

/* Most classes that one may ask for; the model's count lowers it further. */
enum { MAX_TOP_K = 65536 };

enum own { NONE, TOP_K, JSON, TENSOR, LOGITS, FEATURES, DUMP_TENSOR, DUMP_CROP, VERIFY };

static const struct {
    enum own own;
    const char *flag, *arg, *help;
} own_flags[] = {
    {TOP_K, "--top-k", "N", "how many classes to name, also -k N (default 5)"},
    {JSON, "--json", NULL, "one JSON object per picture instead of tab-separated lines"},
    {TENSOR, "--tensor", "IN.npy", "classify a preprocessed float32 [N,3,H,W] instead of pictures"},
    {LOGITS, "--logits", "OUT.npy", "write float32 [N,classes], before softmax"},
    {FEATURES, "--features", "OUT.npy", "write float32 [N,features], before the classifier"},
    {DUMP_TENSOR, "--dump-tensor", "OUT.npy", "write what preprocessing made: float32 [N,3,H,W]"},
    {DUMP_CROP, "--dump-crop", "OUT.npy", "write the crops before normalising: uint8 [N,H,W,3]"},
    {VERIFY, "--verify", "DIGEST", "whether int8 logits have this X-Result-Digest: exit 0, or 1"},
};
enum { N_OWN = sizeof(own_flags) / sizeof(own_flags[0]) };

/* Which of our own flags this is, and where in it a value after '=' begins. */
static enum own find_own(const char *word, const char **value)
{
    *value = NULL;
    if (strncmp(word, "-k", 2) == 0) {
        if (word[2] != '\0')
            *value = word + 2;
        return TOP_K;
    }
    for (int i = 0; i < N_OWN; i++) {
        size_t n = strlen(own_flags[i].flag);

        if (strncmp(word, own_flags[i].flag, n) != 0)
            continue;
        if (word[n] == '=')
            *value = word + n + 1;
        if (word[n] == '\0' || word[n] == '=')
            return own_flags[i].own;
    }
    return NONE;
}

static int usage(char text[256], const char *flag, const char *wanted)
{
    snprintf(text, 256, "%s: expected %s", flag, wanted);
    return FCGI_EXIT_USAGE;
}

static int set_own(struct fcgi_classify_args *args, enum own own, const char *value, char text[256])
{
    char *end;
    long k;

    switch (own) {
    case VERIFY:
        if (strspn(value, "0123456789abcdef") != 64 || value[64] != '\0')
            return usage(text, "--verify", "64 lower-case hex digits");
        args->verify = value;
        return 0;
    case TOP_K:
        k = strtol(value, &end, 10);
        if (*end != '\0' || end == value || k < 1 || k > MAX_TOP_K)
            return usage(text, "-k", "a whole number from 1 to 65536");
        args->top_k = (int)k;
        return 0;
    case TENSOR:
        args->tensor = value;
        return 0;
    case LOGITS:
        args->logits = value;
        return 0;
    case FEATURES:
        args->features = value;
        return 0;
    case DUMP_TENSOR:
        args->dump_tensor = value;
        return 0;
    default:
        args->dump_crop = value;
        return 0;
    }
}

/* One flag of our own at argv[*i]; *i is left at the last word that belongs to it. */
static int take_own(struct fcgi_classify_args *args, enum own own, const char *value, int argc,
                    char **argv, int *i, char text[256])
{
    const char *flag = argv[*i];

    if (own == JSON && value != NULL)
        return usage(text, "--json", "no value");
    if (own == JSON) {
        args->json = 1;
        return 0;
    }
    if (value == NULL && *i + 1 < argc)
        value = argv[++*i];
    if (value == NULL || *value == '\0')
        return usage(text, flag, "a value");
    return set_own(args, own, value, text);
}

/* Whether the option table's flag takes the next word: all do but switches and --name=value. */
static int takes_word(const char *flag)
{
    return strncmp(flag, "--", 2) == 0 && strchr(flag, '=') == NULL &&
           strcmp(flag, "--help") != 0 && strcmp(flag, "--version") != 0;
}

/* One of our own flags with a typing error in it. (The option table guesses among its own; none of
 * its names is so near to one of ours.) */
static const char *meant_own(const char *word)
{
    char name[64];

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
    for (int i = 0; i < N_OWN; i++)
        if (fcgi_config_distance(name, own_flags[i].flag) <= 2)
            return own_flags[i].flag;
    return NULL;
}

/* A flag of the option table at argv[*i], with its value. */
static int take_config(struct fcgi_classify_args *args, int argc, char **argv, int *i,
                       int *config_argc, char text[256])
{
    const char *meant = meant_own(argv[*i]);
    int word = takes_word(argv[*i]) && *i + 1 < argc;

    if (meant != NULL) {
        snprintf(text, 256, "unknown option \"%.80s\"; did you mean %s?", argv[*i], meant);
        return FCGI_EXIT_USAGE;
    }
    args->config_argv[(*config_argc)++] = argv[*i];
    if (word)
        args->config_argv[(*config_argc)++] = argv[++*i];
    return 0;
}

/* Sorts the words into our own flags, the option table's and paths. */
static int split(struct fcgi_classify_args *args, int argc, char **argv, int *config_argc,
                 char text[256])
{
    int i = 1, code = 0;

    for (; i < argc && strcmp(argv[i], "--") != 0 && code == 0; i++) {
        const char *value;
        enum own own = find_own(argv[i], &value);

        if (own != NONE) {
            code = take_own(args, own, value, argc, argv, &i, text);
        } else if (argv[i][0] != '-' || argv[i][1] == '\0') {
            args->paths[args->n_paths++] = argv[i];
        } else if (strcmp(argv[i], "-m") == 0 && i + 1 < argc) {
            args->config_argv[(*config_argc)++] = "--model";
            args->config_argv[(*config_argc)++] = argv[++i];
        } else {
            code = take_config(args, argc, argv, &i, config_argc, text);
        }
    }
    for (i++; i < argc && code == 0; i++)
        args->paths[args->n_paths++] = argv[i];
    return code;
}

static int check(const struct fcgi_classify_args *args, char text[256])
{
    if (args->config.help || args->config.version)
        return 0;
    if (args->tensor == NULL && args->n_paths == 0)
        return usage(text, "resnet-classify", "an image, a directory or --tensor IN.npy");
    if (args->tensor != NULL && args->n_paths != 0)
        return usage(text, "--tensor", "no image beside it");
    if (args->tensor != NULL && (args->dump_tensor != NULL || args->dump_crop != NULL))
        return usage(text, "--tensor", "no --dump-tensor or --dump-crop: nothing is preprocessed");
    return 0;
}

int fcgi_classify_args_load(struct fcgi_classify_args *args, int argc, char **argv,
                            void (*warn)(const char *sentence), char text[256])
{
    int config_argc = 1, rest, code;

    *args = (struct fcgi_classify_args){.top_k = 5};
    args->paths = calloc((size_t)argc + 1, sizeof(*args->paths));
    args->config_argv = calloc((size_t)argc + 2, sizeof(*args->config_argv));
    if (args->paths == NULL || args->config_argv == NULL) {
        snprintf(text, 256, "no memory for the command line");
        return FCGI_EXIT_TRY_LATER;
    }
    args->config_argv[0] = argv[0];
    code = split(args, argc, argv, &config_argc, text);
    if (code == 0)
        code = fcgi_config_load(&args->config, FCGI_FOR_CLASSIFY, config_argc, args->config_argv,
                                &rest, warn, text);
    return code != 0 ? code : check(args, text);
}

void fcgi_classify_args_free(struct fcgi_classify_args *args)
{
    free(args->config_argv);
    free(args->paths);
}

void fcgi_classify_args_help(FILE *out)
{
    fprintf(out, "usage: resnet-classify [-m MODEL] [-k N] [options] IMAGE|DIR...\n"
                 "       resnet-classify [-m MODEL] [-k N] [options] --tensor IN.npy\n\n"
                 "Names the most probable classes of each picture, a line each:\n"
                 "file, class id, probability, label, separated by tabs.\n\n");
    for (int i = 0; i < N_OWN; i++) {
        char left[64];

        snprintf(left, sizeof(left), "%s %s", own_flags[i].flag,
                 own_flags[i].arg != NULL ? own_flags[i].arg : "");
        fprintf(out, "  %-28s %s\n", left, own_flags[i].help);
    }
    fcgi_config_help(out, FCGI_FOR_CLASSIFY);
}
