/* options.h: what resnet-load was asked for. */
#ifndef TESTS_LOAD_OPTIONS_H
#define TESTS_LOAD_OPTIONS_H

#include <stdint.h>

enum { T_MAX_HEADERS = 16, T_MAX_CONCURRENCY = 4096 };
enum { T_EXIT_FAILED = 1, T_EXIT_USAGE = 64, T_EXIT_TRY_LATER = 75 };

/* How a picture travels: as the body, in a form's field, or base64 in a member of JSON. */
enum t_send { T_SEND_RAW, T_SEND_FORM, T_SEND_JSON };

struct t_options {
    int compare, json, quiet, probe, keep_alive, insecure;
    int waves, requests, concurrency, warm_up; /* requests: of each wave, where no duration is */
    double rate;                               /* a second, open loop; 0: closed */
    int64_t duration_ms, pause_ms, timeout_ms; /* duration_ms: of each wave; 0: counted requests */
    enum t_send send;
    const char *field, *html;
    const char *expect; /* a directory of answers, or NULL */
    const char *header[T_MAX_HEADERS];
    int n_headers;
    const char *url[2]; /* one, or the old and the new */
    char **path;        /* pictures and directories */
    int n_paths;
};

/* Ends the program where --help or --version is asked for, or with T_EXIT_USAGE and one line. */
struct t_options t_options_read(int argc, char **argv);

/* One line on stderr, and the end. */
void t_options_quit(int status, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
