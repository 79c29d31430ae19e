/* log.c: one line an event, written whole.
 *
 * The format is walked here and not given to vsnprintf, because a value has to be seen alone to be
 * quoted, and because JSON wants keys and values apart. A line never exceeds PIPE_BUF, so that
 * lines of several workers into one pipe do not mix; pairs that do not fit are left out whole.
 */
#include "fcgi/log.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/log_out.h"
#include "fcgi/utf8.h"

enum { LINE_BYTES = PIPE_BUF, VALUE_BYTES = 1024 };
enum { PATIENCE_MS = 200 }; /* for a reader that only is slow; one that has stalled is asked once */

static struct {
    const char *program;
    char host[65];
    int slot, generation, json;
    enum fcgi_log_level level;
} setup = {.program = "resnet", .slot = -1, .level = FCGI_LOG_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct line {
    char text[LINE_BYTES];
    size_t n;
    int full;
};

struct value {
    char text[VALUE_BYTES];
    size_t n;
    int number; /* one numeric conversion and nothing else */
};

void fcgi_log_setup(const char *program, int slot, int generation, enum fcgi_log_level level,
                    int json)
{
    setup.program = program;
    if (gethostname(setup.host, sizeof setup.host - 1))
        setup.host[0] = 0;
    setup.slot = slot;
    setup.generation = generation;
    setup.level = level;
    setup.json = json;
    fcgi_log_out_open();
}

/* ---- numbers, as a signal handler may write them -------------------------------------------- */

/* Digits of number before end, at least `width` of them. Returns the first. */
static char *digits(char *end, uint64_t number, unsigned base, int width)
{
    for (; number || width > 0; number /= base, width--)
        *--end = "0123456789abcdef"[number % base];
    return end;
}

static char *signed_digits(char *end, int64_t number)
{
    char *first = digits(end, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10, 1);

    if (number < 0)
        *--first = '-';
    return first;
}

/* ---- the line ------------------------------------------------------------------------------- */

/* Two bytes are kept for the closing brace and the newline. */
static void put(struct line *line, const char *text, size_t n)
{
    if (line->full || n > sizeof line->text - 2 - line->n) {
        line->full = 1;
        return;
    }
    memcpy(line->text + line->n, text, n);
    line->n += n;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* UTF-8 stays readable; any other byte is escaped, so that a line is always valid JSON. */
static void put_quoted(struct line *line, const char *text, size_t n)
{
    char escape[8];

    put_text(line, "\"");
    for (size_t i = 0, step; i < n; i += step) {
        unsigned char c = (unsigned char)text[i];
        step = fcgi_utf8_length(text + i, n - i);
        if (c == '"' || c == '\\') {
            escape[0] = '\\', escape[1] = (char)c;
            put(line, escape, 2);
        } else if (step == 0 || c < 0x20 || c == 0x7f) {
            memcpy(escape, "\\u", 2);
            digits(escape + 6, c, 16, 4);
            put(line, escape, 6);
            step = 1;
        } else {
            put(line, text + i, step);
        }
    }
    put_text(line, "\"");
}

static int is_bare(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f ||
            strchr("\"\\=", text[i]))
            return 0;
    return n > 0;
}

static void put_pair(struct line *line, const char *key, size_t key_n, const char *text, size_t n,
                     int number)
{
    size_t before = line->n;

    if (setup.json) {
        put_text(line, line->n ? "," : "{");
        put_quoted(line, key, key_n);
        put_text(line, ":");
    } else {
        put_text(line, line->n ? " " : "");
        put(line, key, key_n);
        put_text(line, "=");
    }
    if (number || (!setup.json && is_bare(text, n)))
        put(line, text, n);
    else
        put_quoted(line, text, n);
    if (line->full) {
        line->n = before;
        line->full = 0;
    }
}

static void put_string(struct line *line, const char *key, const char *text)
{
    put_pair(line, key, strlen(key), text, strlen(text), 0);
}

static void put_int(struct line *line, const char *key, int number)
{
    char text[16], *end = text + sizeof text, *first = signed_digits(end, number);

    put_pair(line, key, strlen(key), first, (size_t)(end - first), 1);
}

/* 2026-11-20T10:11:12.345Z. gmtime_r() would open /etc/localtime at its first call. */
static void put_now(struct line *line)
{
    struct timespec now;
    char text[] = "0000-00-00T00:00:00.000Z";

    clock_gettime(CLOCK_REALTIME, &now);
    int64_t days = now.tv_sec / 86400, second = now.tv_sec % 86400;
    /* days since 0000-03-01, so that a leap day is the last of its year */
    int64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
    int64_t year = yoe + era * 400 + (month <= 2);

    digits(text + 4, (uint64_t)year, 10, 4);
    digits(text + 7, (uint64_t)month, 10, 2);
    digits(text + 10, (uint64_t)day, 10, 2);
    digits(text + 13, (uint64_t)second / 3600, 10, 2);
    digits(text + 16, (uint64_t)second / 60 % 60, 10, 2);
    digits(text + 19, (uint64_t)second % 60, 10, 2);
    digits(text + 23, (uint64_t)now.tv_nsec / 1000000, 10, 3);
    if (setup.json)
        put_string(line, "time", text);
    else
        put_text(line, text);
}

/* ---- the format ----------------------------------------------------------------------------- */

static void add(struct value *value, const char *text, size_t n)
{
    if (n > sizeof value->text - value->n)
        n = sizeof value->text - value->n;
    memcpy(value->text + value->n, text, n);
    value->n += n;
}

/* va_list may be an array: only inside a struct can it be passed on and come back advanced. */
struct args {
    va_list list;
};

struct spec {
    int precision; /* -1: none */
    int longs;     /* 'l's; z and j count as two */
    char conversion;
};

/* *at: behind the '%'; left behind the conversion. Flags and widths make no sense in a log. */
static struct spec parse_spec(const char **at, struct args *args)
{
    struct spec spec = {.precision = -1};
    const char *p = *at;

    if (*p == '.') {
        p++;
        if (*p == '*') {
            spec.precision = va_arg(args->list, int);
            p++;
        } else {
            for (spec.precision = 0; *p >= '0' && *p <= '9'; p++)
                spec.precision = spec.precision * 10 + (*p - '0');
        }
    }
    for (; *p == 'l' || *p == 'z' || *p == 'j'; p++)
        spec.longs += *p == 'l' ? 1 : 2;
    spec.conversion = *p;
    *at = *p ? p + 1 : p;
    return spec;
}

static uint64_t take_unsigned(const struct spec *spec, struct args *args)
{
    if (spec->longs > 1)
        return va_arg(args->list, unsigned long long);
    return spec->longs ? va_arg(args->list, unsigned long) : va_arg(args->list, unsigned);
}

static int64_t take_signed(const struct spec *spec, struct args *args)
{
    if (spec->longs > 1)
        return va_arg(args->list, long long);
    return spec->longs ? va_arg(args->list, long) : va_arg(args->list, int);
}

static void add_string(struct value *value, const struct spec *spec, const char *text)
{
    if (!text)
        text = "-";
    add(value, text, spec->precision < 0 ? strlen(text) : strnlen(text, (size_t)spec->precision));
}

/* %d %i %u %x %f %g %s %c with l, ll, z, j and a precision. */
static void add_converted(struct value *value, const char **at, struct args *args)
{
    char text[64], *end = text + sizeof text, *first = text;
    int n = 0;
    struct spec spec = parse_spec(at, args);
    int precision = spec.precision < 0 ? 6 : spec.precision;

    switch (spec.conversion) {
    case 's':
        add_string(value, &spec, va_arg(args->list, const char *));
        return;
    case 'd':
    case 'i':
        first = signed_digits(end, take_signed(&spec, args));
        break;
    case 'u':
        first = digits(end, take_unsigned(&spec, args), 10, 1);
        break;
    case 'x':
        first = digits(end, take_unsigned(&spec, args), 16, 1);
        add(value, "0x", 2);
        break;
    case 'f':
        n = snprintf(text, sizeof text, "%.*f", precision, va_arg(args->list, double));
        break;
    case 'g':
        n = snprintf(text, sizeof text, "%.*g", precision, va_arg(args->list, double));
        break;
    case 'c':
        text[n++] = (char)va_arg(args->list, int);
        break;
    default:
        text[n++] = '%';
    }
    if (first > text)
        add(value, first, (size_t)(end - first));
    else
        add(value, text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

/* One key=value of the format; returns what follows it. */
static const char *add_pair(struct line *line, const char *format, struct args *args)
{
    struct value value = {.n = 0};
    const char *key = format, *at = format + strcspn(format, "= ");
    size_t key_n = (size_t)(at - key);

    if (*at == '=')
        at++;
    const char *first = at;
    while (*at && *at != ' ') {
        if (*at == '%') {
            int begins = at == first;
            char conversion = at[1 + strspn(at + 1, ".*0123456789lzj")];
            at++;
            add_converted(&value, &at, args);
            value.number = begins && (!*at || *at == ' ') && conversion &&
                           strchr("diufg", conversion) && strchr("-0123456789", value.text[0]) &&
                           !memchr(value.text, 'n', value.n);
        } else {
            add(&value, at++, 1);
        }
    }
    if (value.n)
        put_pair(line, key, key_n, value.text, value.n, value.number);
    return at + strspn(at, " ");
}

static void put_head(struct line *line, enum fcgi_log_level level, const char *event)
{
    put_now(line);
    put_string(line, "level", level_names[level]);
    put_string(line, "program", setup.program);
    if (setup.host[0])
        put_string(line, "host", setup.host);
    if (setup.slot >= 0) {
        put_int(line, "slot", setup.slot);
        put_int(line, "gen", setup.generation);
    }
    put_int(line, "pid", (int)getpid());
    put_string(line, "event", event);
}

static void build(struct line *line, enum fcgi_log_level level, const char *event,
                  const char *format, struct args *args)
{
    line->n = 0;
    line->full = 0;
    put_head(line, level, event);
    while (*format)
        format = add_pair(line, format, args);
    if (setup.json)
        line->text[line->n++] = '}';
    line->text[line->n++] = '\n';
}

/* ---- out ------------------------------------------------------------------------------------ */

/* Lines that found no room, since it was last said how many. */
static struct {
    unsigned long long lines;
    int error; /* of the first */
} lost;

static void build_lost(struct line *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void build_lost(struct line *line, const char *format, ...)
{
    struct args args;

    va_start(args.list, format);
    build(line, FCGI_LOG_ERROR, "log_lost", format, &args);
    va_end(args.list);
}

/* Before anything else that is written again. Returns 0, or -1 where there still is no room. */
static int tell_lost(void)
{
    struct line line;

    if (!lost.lines)
        return 0;
    build_lost(&line, "lines=%llu reason=%s", lost.lines, strerrordesc_np(lost.error));
    if (fcgi_log_out_write(line.text, line.n, 0))
        return -1;
    lost.lines = 0;
    return 0;
}

void fcgi_log_lines(const char *lines, size_t n)
{
    int wait_ms = lost.lines ? 0 : PATIENCE_MS;
    size_t left = tell_lost() ? n : fcgi_log_out_write(lines, n, wait_ms);

    if (left && !lost.lines)
        lost.error = errno;
    for (size_t i = n - left; i < n; i++)
        lost.lines += lines[i] == '\n';
}

void fcgi_log(enum fcgi_log_level level, const char *event, const char *format, ...)
{
    struct line line;
    struct args args;

    if (level > setup.level)
        return;
    va_start(args.list, format);
    build(&line, level, event, format, &args);
    va_end(args.list);
    fcgi_log_lines(line.text, line.n);
}
