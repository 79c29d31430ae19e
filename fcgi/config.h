/* config.h: one table of options for the programs of fcgi/ and spawn/.
 * Default < environment (RESNET_NAME) < flag (--name VALUE, --name=VALUE). Plain C and libc only:
 * resnet-spawn links it.
 */
#ifndef FCGI_CONFIG_H
#define FCGI_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { FCGI_AUTO = -1 }; /* an `auto` not yet decided */

/* Exit codes of all programs. */
enum {
    FCGI_EXIT_OK = 0,
    FCGI_EXIT_USAGE = 64,
    FCGI_EXIT_MODEL = 65, /* of a worker: its model file was changed underneath */
    FCGI_EXIT_TRY_LATER = 75,
    FCGI_EXIT_CONFIG = 78,
};

struct fcgi_config {
    char model[4096], weights[4096], run_dir[4096], log[4096];
    char isa[32]; /* empty: the best there is */
    char precision[16];
    int workers; /* FCGI_AUTO or 1.. */
    int threads; /* FCGI_AUTO or 1..8 */
    int64_t request_timeout_ms, stall_timeout_ms, start_timeout_ms, read_timeout_ms,
        drain_timeout_ms, slowlog_ms, idle_exit_ms;
    int backlog;
    int64_t max_body, max_pixels, max_decode_memory /* FCGI_AUTO */, max_rss;
    int max_images;
    int64_t max_requests;
    int exif; /* FCGI_AUTO: the recipe's; else enum wt_exif */
    int decode_fast;
    int rate_limit;
    int64_t quarantine_ms; /* 0: no body is refused */
    int sandbox;           /* enum fcgi_sandbox_wish */
    int log_level;         /* enum fcgi_log_level */
    int log_json;

    /* flags of every program, and -t: what is asked for instead of running */
    int help, version, test;

    /* not for people: set by resnet-spawn on the command line of what it starts; -1: not given */
    int slot, generation, ready_fd, board_fd, ask_fd, shed_fd, busy_fd, deaths_fd, model_fd,
        crew_fd;
};

/* Which programs an option belongs to; --help prints only a program's own, and a variable of
 * others is not looked at. */
enum {
    FCGI_FOR_WORKER = 1,
    FCGI_FOR_SPAWN = 2,
    FCGI_FOR_CONTROL = 4,
    FCGI_FOR_CTL = 8,
    FCGI_FOR_CLASSIFY = 16
};

/* Defaults, then environment, then argv (options only; the first non-option's index is returned
 * through *rest; "--" ends the options). Fails with exit code 64 (unknown or malformed flag) or 78
 * (malformed variable) and one sentence in text; 0 otherwise. Unknown RESNET_* are reported through
 * warn(), which may be NULL. read_timeout_ms and drain_timeout_ms follow from request_timeout_ms
 * unless they are set. */
int fcgi_config_load(struct fcgi_config *config, int program, int argc, char **argv, int *rest,
                     void (*warn)(const char *sentence), char text[256]);

/* Writes the effective values into the environment, for what is exec'd next. Returns 0, or -1
 * without memory: what is exec'd next would have other values. */
int fcgi_config_export(const struct fcgi_config *config);

/* The options of a program as --help shows them, one block, without a heading. */
void fcgi_config_help(FILE *out, int program);

/* Edits that turn a into b, to guess what was meant. Names longer than 63 bytes are nobody's typing
 * error: 64. */
size_t fcgi_config_distance(const char *a, const char *b);

/* "90s", "2m", "500ms", "1.5h", plain seconds -> milliseconds; "16MiB", "16m", "4096" -> bytes.
 * Return 0, or -1 when malformed or out of range. */
int fcgi_config_duration(const char *text, int64_t *ms);
int fcgi_config_size(const char *text, int64_t *bytes);

#endif
