/* config_table.h: one row an option, and a value's way in and out. Internal to config*.c. */
#ifndef FCGI_CONFIG_TABLE_H
#define FCGI_CONFIG_TABLE_H

#include "fcgi/config.h"

enum fcgi_option_kind {
    FCGI_OPTION_TEXT,     /* char[] */
    FCGI_OPTION_INT,      /* int */
    FCGI_OPTION_COUNT,    /* int64_t */
    FCGI_OPTION_DURATION, /* int64_t, ms */
    FCGI_OPTION_SIZE,     /* int64_t, bytes */
    FCGI_OPTION_CHOICE,   /* int: index into the words of `arg`, or FCGI_AUTO for `automatic` */
    FCGI_OPTION_WORD,     /* char[]: one of the words of `arg` */
    FCGI_OPTION_SWITCH,   /* int: a flag without a value */
};

struct fcgi_option {
    const char *name;
    enum fcgi_option_kind kind;
    int programs;
    size_t offset, size;
    const char *fallback;  /* default, as text; NULL: derived, or none */
    int64_t min, max;      /* of numbers */
    const char *automatic; /* the word that leaves the choice to the program; NULL: none */
    const char *arg;       /* what --help shows; of CHOICE and WORD, the words between '|' */
    const char *help;      /* NULL: not for people, and not read from the environment */
};

extern const struct fcgi_option fcgi_config_options[]; /* the last has no name */

/* Reads text into the option's member (of a SWITCH: sets it); -1 when malformed or out of range. */
int fcgi_config_set(struct fcgi_config *config, const struct fcgi_option *option, const char *text);

/* Writes the member as fcgi_config_set() would read it. */
void fcgi_config_format(const struct fcgi_config *config, const struct fcgi_option *option,
                        char text[4096]);

/* What would have been right: "a whole number from 1 to 255, or auto". */
void fcgi_config_describe(const struct fcgi_option *option, char *text, size_t n);

#endif
