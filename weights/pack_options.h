/* pack_options.h: resnet-pack's command line. */
#ifndef WEIGHTS_PACK_OPTIONS_H
#define WEIGHTS_PACK_OPTIONS_H

#include "weights/random.h"

enum wt_command { WT_COMMAND_PACK, WT_COMMAND_RANDOM, WT_COMMAND_INFO, WT_COMMAND_VERIFY };

struct wt_arguments {
    enum wt_command command;
    const char *input, *output, *labels, *calibrate;
    int json;
    unsigned precisions; /* 1 << enum wt_precision for each; 0: not said */
    struct wt_random random;
    const char *recipe[16][2]; /* flag and value, in the order given */
    int n_recipe;
};

/* Ends the program after --help and --version (0), and with a sentence when it cannot be meant
 * (64). */
void wt_options_parse(struct wt_arguments *arguments, int argc, char **argv);

/* "resnet-pack: SENTENCE; see resnet-pack --help", exit 64 */
void wt_options_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
