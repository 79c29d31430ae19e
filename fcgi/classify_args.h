/* classify_args.h: the command line of resnet-classify. Internal to fcgi/. */
#ifndef FCGI_CLASSIFY_ARGS_H
#define FCGI_CLASSIFY_ARGS_H

#include <stdio.h>

#include "fcgi/config.h"

struct fcgi_classify_args {
    struct fcgi_config config;
    int top_k, json;
    const char *tensor;                                      /* to read; NULL: images */
    const char *logits, *features, *dump_tensor, *dump_crop; /* to write; NULL: not asked for */
    const char *verify; /* X-Result-Digest of what a server answered, or NULL */
    char **paths;       /* [n_paths], of argv */
    int n_paths;
    char **config_argv; /* what is left for fcgi_config_load() */
};

/* Flags and paths in any order, "--" before paths that begin with a dash. Returns 0, or the exit
 * code with a sentence. Free in any case. */
int fcgi_classify_args_load(struct fcgi_classify_args *args, int argc, char **argv,
                            void (*warn)(const char *sentence), char text[256]);
void fcgi_classify_args_free(struct fcgi_classify_args *args);
void fcgi_classify_args_help(FILE *out);

#endif
