/* config_table.c: every option of every program. */
#include "fcgi/config_table.h"

/* short names, so that a row stays a row */
#define TEXT     FCGI_OPTION_TEXT
#define INT      FCGI_OPTION_INT
#define COUNT    FCGI_OPTION_COUNT
#define DURATION FCGI_OPTION_DURATION
#define SIZE     FCGI_OPTION_SIZE
#define CHOICE   FCGI_OPTION_CHOICE
#define WORD     FCGI_OPTION_WORD
#define SWITCH   FCGI_OPTION_SWITCH

#define AT(member) offsetof(struct fcgi_config, member), sizeof((struct fcgi_config *)0)->member
#define WORKER     (FCGI_FOR_WORKER | FCGI_FOR_SPAWN)
#define SPAWN      FCGI_FOR_SPAWN
#define SERVERS    (FCGI_FOR_WORKER | FCGI_FOR_SPAWN | FCGI_FOR_CONTROL)
#define MODEL      (WORKER | FCGI_FOR_CLASSIFY)
#define EVERY      (SERVERS | FCGI_FOR_CTL | FCGI_FOR_CLASSIFY)
#define STARTED    (FCGI_FOR_WORKER | FCGI_FOR_CONTROL)

enum { MS_MIN = 1, FD_MAX = 1 << 20 };
#define MS_MAX    (30 * 86400000LL)
#define BYTES_MAX (1LL << 50)

/* clang-format off */
const struct fcgi_option fcgi_config_options[] = {
    {"model", TEXT, MODEL, AT(model), "/var/lib/resnet-fcgi/resnet50.rnm", 0, 0, 0,
     "FILE", "packed model (resnet-pack makes it)"},
    {"weights", TEXT, SPAWN, AT(weights), "", 0, 0, 0,
     "FILE", "source weights, for `make demo` and the weights service"},
    {"run-dir", TEXT, SPAWN | FCGI_FOR_CONTROL | FCGI_FOR_CTL, AT(run_dir), "/run/resnet-fcgi",
     0, 0, 0, "DIR", "where work.sock, shed.sock, ctl.sock, lock and pid are"},
    {"workers", INT, SPAWN, AT(workers), "auto", 1, 255, "auto",
     "N", "worker processes; auto: usable CPUs, lowered by memory"},
    {"threads", INT, WORKER | FCGI_FOR_CLASSIFY, AT(threads), "auto", 1, 8, "auto",
     "N", "most threads of one request; auto: shares idle cores"},
    {"precision", WORD, MODEL, AT(precision), "fp32", 0, 0, 0,
     "fp32|bf16|int8", "arithmetic of the network"},
    {"isa", TEXT, MODEL, AT(isa), "best", 0, 0, "best",
     "NAME", "instruction set or engine; lowers only"},
    {"request-timeout", DURATION, SERVERS, AT(request_timeout_ms), "120s", MS_MIN, MS_MAX, 0,
     "TIME", "a request's whole budget, queue included"},
    {"stall-timeout", DURATION, SPAWN, AT(stall_timeout_ms), "30s", MS_MIN, MS_MAX, 0,
     "TIME", "CPU time burnt without progress that means stuck"},
    {"start-timeout", DURATION, SPAWN, AT(start_timeout_ms), "90s", MS_MIN, MS_MAX, 0,
     "TIME", "a worker not ready by then has failed"},
    {"read-timeout", DURATION, SPAWN, AT(read_timeout_ms), 0, MS_MIN, MS_MAX, 0,
     "TIME", "nginx's fastcgi_read_timeout (default: request-timeout + 10s)"},
    {"drain-timeout", DURATION, SPAWN, AT(drain_timeout_ms), 0, MS_MIN, MS_MAX, 0,
     "TIME", "how long draining may take (default: request-timeout + 20s)"},
    {"backlog", INT, SPAWN | FCGI_FOR_CONTROL, AT(backlog), "128", 1, 65535, 0,
     "N", "requests that may wait; past it they are shed with 503"},
    {"max-body", SIZE, SERVERS, AT(max_body), "16MiB", 1, 1 << 30, 0,
     "SIZE", "largest request body"},
    {"max-pixels", SIZE, MODEL, AT(max_pixels), "64M", 1, 1LL << 32, 0,
     "SIZE", "largest picture, in pixels"},
    {"max-decode-memory", SIZE, MODEL, AT(max_decode_memory), "auto", 1, BYTES_MAX, "auto",
     "SIZE", "memory that one decode may take; auto: by the memory limit"},
    {"max-images", INT, WORKER, AT(max_images), "16", 1, 64, 0,
     "N", "pictures in one request"},
    {"max-requests", COUNT, WORKER, AT(max_requests), "0", 0, INT64_MAX, 0,
     "N", "replace a worker after so many requests; 0: never"},
    {"max-rss", SIZE, WORKER, AT(max_rss), "0", 0, BYTES_MAX, 0,
     "SIZE", "replace a worker that has grown past this; 0: never"},
    {"idle-exit", DURATION, SPAWN, AT(idle_exit_ms), "0", 0, MS_MAX, 0,
     "TIME", "leave after so long without a request, if systemd owns the socket; 0: never"},
    {"exif", CHOICE, MODEL, AT(exif), "recipe", 0, 0, "recipe",
     "apply|ignore", "the orientation a photograph carries; recipe: as the model says"},
    {"decode", CHOICE, MODEL, AT(decode_fast), "exact", 0, 0, 0,
     "exact|fast", "fast: large JPEGs at a part of their size, nearly the same pixels"},
    {"rate-limit", INT, SPAWN, AT(rate_limit), "0", 0, 1000000, 0,
     "N", "nginx: requests per second and client address; 0: off"},
    {"log", TEXT, SPAWN | FCGI_FOR_CTL, AT(log), "stderr", 0, 0, 0,
     "FILE", "log file, or stderr"},
    {"log-level", CHOICE, SERVERS, AT(log_level), "info", 0, 0, 0,
     "error|warn|info|debug", "what is logged"},
    {"log-format", CHOICE, SERVERS, AT(log_json), "logfmt", 0, 0, 0,
     "logfmt|json", "how a line is written"},
    {"slowlog", DURATION, WORKER, AT(slowlog_ms), "0", 0, MS_MAX, 0,
     "TIME", "a line with stages and layers for slower requests; 0: off"},
    {"quarantine", DURATION, SPAWN, AT(quarantine_ms), "10m", 0, MS_MAX, 0,
     "TIME", "how long a body that took workers along in two requests is refused; 0: never"},
    {"sandbox", CHOICE, SERVERS, AT(sandbox), "on", 0, 0, 0,
     "on|off|require", "give up what no request needs; require: or do not start"},
    {"slot", INT, STARTED, AT(slot), "-1", -1, 511, 0, 0, 0},
    {"generation", INT, STARTED, AT(generation), "0", 0, INT32_MAX, 0, 0, 0},
    {"ready-fd", INT, STARTED, AT(ready_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"board-fd", INT, STARTED, AT(board_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"ask-fd", INT, STARTED, AT(ask_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"shed-fd", INT, STARTED, AT(shed_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"busy-fd", INT, FCGI_FOR_WORKER, AT(busy_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"deaths-fd", INT, STARTED, AT(deaths_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"model-fd", INT, FCGI_FOR_WORKER, AT(model_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"crew-fd", INT, FCGI_FOR_WORKER, AT(crew_fd), "-1", -1, FD_MAX, 0, 0, 0},
    {"test", SWITCH, WORKER, AT(test), 0, 0, 0, 0,
     "t", "check configuration and model, start nothing"},
    {"help", SWITCH, EVERY, AT(help), 0, 0, 0, 0, "h", "print this"},
    {"version", SWITCH, EVERY, AT(version), 0, 0, 0, 0,
     "V", "print version, commit, instruction set"},
    {0},
};
/* clang-format on */
