/* record.c: the FastCGI records of a responder. Built for one request a connection, as nginx
 * sends it with fastcgi_keep_conn off; anything else is refused by closing. */
#include <string.h>

#include "spawn/record.h"

enum { VERSION = 1, RESPONDER = 1, LONG_LENGTH = 0x80 };

static const struct {
    const char *name;
    size_t offset, size;
} kept[] = {
#define KEPT(name, member)                                                                         \
    {                                                                                              \
        name, offsetof(struct spawn_params, member), sizeof((struct spawn_params *)0)->member      \
    }
    KEPT("REQUEST_METHOD", method),
    KEPT("DOCUMENT_URI", uri),
    KEPT("REQUEST_ID", nginx_id),
    KEPT("HTTP_X_REQUEST_ID", request_id),
    KEPT("RESNET_LISTENER", listener),
    KEPT("HTTP_TRACEPARENT", traceparent)
#undef KEPT
};

void spawn_record_init(struct spawn_record_reader *reader)
{
    memset(reader, 0, sizeof *reader);
}

/* ---- name-value pairs ----------------------------------------------------------------------- */

static unsigned length_bytes(const uint8_t *at)
{
    return *at & LONG_LENGTH ? 4 : 1;
}

static uint32_t length_value(const uint8_t *at)
{
    if (!(*at & LONG_LENGTH))
        return *at;
    return (uint32_t)(at[0] & ~LONG_LENGTH) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
           at[3];
}

/* One byte of the two lengths. */
static void take_length(struct spawn_record_reader *r, uint8_t byte)
{
    r->lengths[r->lengths_n++] = byte;
    unsigned first = length_bytes(r->lengths);
    if (r->lengths_n <= first || r->lengths_n < first + length_bytes(r->lengths + first))
        return;
    r->name_left = length_value(r->lengths);
    r->value_left = length_value(r->lengths + first);
    r->name_n = 0;
    r->pair = SPAWN_PAIR_NAME;
}

static void choose_value(struct spawn_record_reader *r)
{
    r->value = NULL;
    r->value_n = 0;
    r->pair = SPAWN_PAIR_VALUE;
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        if (strlen(kept[i].name) != r->name_n || memcmp(kept[i].name, r->name, r->name_n) != 0)
            continue;
        r->value = (char *)&r->params + kept[i].offset;
        r->value_size = kept[i].size;
        memset(r->value, 0, r->value_size);
    }
}

static void end_pair(struct spawn_record_reader *r)
{
    r->lengths_n = 0;
    r->pair = SPAWN_PAIR_LENGTHS;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A name that is cut is longer than any that is kept. */
static size_t take_name(struct spawn_record_reader *r, const uint8_t *bytes, size_t n)
{
    size_t taken = least(n, r->name_left);
    size_t copied = least(taken, sizeof r->name - r->name_n);

    memcpy(r->name + r->name_n, bytes, copied);
    r->name_n += (unsigned)copied;
    r->name_left -= (uint32_t)taken;
    return taken;
}

static size_t take_value(struct spawn_record_reader *r, const uint8_t *bytes, size_t n)
{
    size_t taken = least(n, r->value_left);

    if (r->value) {
        size_t copied = least(taken, r->value_size - 1 - r->value_n);
        memcpy(r->value + r->value_n, bytes, copied);
        r->value_n += copied;
    }
    r->value_left -= (uint32_t)taken;
    return taken;
}

static void take_params(struct spawn_record_reader *r, const uint8_t *bytes, size_t n)
{
    size_t at = 0;

    for (;;) {
        if (r->pair == SPAWN_PAIR_NAME && !r->name_left)
            choose_value(r);
        if (r->pair == SPAWN_PAIR_VALUE && !r->value_left)
            end_pair(r);
        if (at == n)
            return;
        if (r->pair == SPAWN_PAIR_LENGTHS)
            take_length(r, bytes[at++]);
        else if (r->pair == SPAWN_PAIR_NAME)
            at += take_name(r, bytes + at, n - at);
        else
            at += take_value(r, bytes + at, n - at);
    }
}

/* ---- records -------------------------------------------------------------------------------- */

static void refuse(struct spawn_record_reader *r)
{
    r->state = SPAWN_RECORD_BROKEN;
}

static uint16_t header_id(const struct spawn_record_reader *r)
{
    return (uint16_t)(r->header[2] << 8 | r->header[3]);
}

/* BEGIN first and once, then PARAMS to their end, then STDIN to its end, all of one request. */
static bool is_in_order(const struct spawn_record_reader *r)
{
    if (r->header[0] != VERSION)
        return false;
    if (r->header[1] == SPAWN_RECORD_BEGIN)
        return !r->begun && header_id(r) && r->content_left == sizeof r->begin;
    if (!r->begun || header_id(r) != r->request_id)
        return false;
    return r->header[1] == (r->params_ended ? SPAWN_RECORD_STDIN : SPAWN_RECORD_PARAMS);
}

/* An empty record ends its stream. */
static void end_stream(struct spawn_record_reader *r)
{
    if (r->header[1] == SPAWN_RECORD_STDIN) {
        r->state = SPAWN_RECORD_WHOLE;
        return;
    }
    r->params_ended = true;
    if (r->pair != SPAWN_PAIR_LENGTHS || r->lengths_n)
        refuse(r); /* in the middle of a pair */
}

static void begin_record(struct spawn_record_reader *r)
{
    r->content_left = (unsigned)(r->header[4] << 8 | r->header[5]);
    r->padding_left = r->header[6];
    if (!is_in_order(r))
        refuse(r);
    else if (!r->content_left)
        end_stream(r);
    else if (r->header[1] == SPAWN_RECORD_BEGIN)
        r->request_id = header_id(r);
}

static void take_begin(struct spawn_record_reader *r, const uint8_t *bytes, size_t n)
{
    memcpy(r->begin + r->begin_n, bytes, n);
    r->begin_n += (unsigned)n;
    if (r->begin_n < sizeof r->begin)
        return;
    r->begun = true;
    if (r->begin[0] || r->begin[1] != RESPONDER)
        refuse(r);
}

static size_t take_content(struct spawn_record_reader *r, const uint8_t *bytes, size_t n)
{
    size_t taken = least(n, r->content_left);

    r->content_left -= (unsigned)taken;
    if (r->header[1] == SPAWN_RECORD_BEGIN)
        take_begin(r, bytes, taken);
    else if (r->header[1] == SPAWN_RECORD_PARAMS)
        take_params(r, bytes, taken);
    return taken; /* STDIN is read, and that is all */
}

static size_t take_some(struct spawn_record_reader *r, const uint8_t *bytes, size_t n)
{
    if (r->header_n < sizeof r->header) {
        size_t taken = least(n, sizeof r->header - r->header_n);
        memcpy(r->header + r->header_n, bytes, taken);
        r->header_n += (unsigned)taken;
        if (r->header_n == sizeof r->header)
            begin_record(r);
        return taken;
    }
    if (r->content_left)
        return take_content(r, bytes, n);
    size_t taken = least(n, r->padding_left);
    r->padding_left -= (unsigned)taken;
    return taken;
}

enum spawn_record_state spawn_record_feed(struct spawn_record_reader *reader, const uint8_t *bytes,
                                          size_t n)
{
    size_t at = 0;

    while (at < n && reader->state == SPAWN_RECORD_MORE) {
        at += take_some(reader, bytes + at, n - at);
        if (reader->header_n == sizeof reader->header && !reader->content_left &&
            !reader->padding_left)
            reader->header_n = 0;
    }
    return reader->state;
}

/* ---- writing -------------------------------------------------------------------------------- */

void spawn_record_header(uint8_t header[SPAWN_RECORD_HEADER_BYTES], enum spawn_record_type type,
                         uint16_t request_id, size_t content_bytes)
{
    header[0] = VERSION;
    header[1] = (uint8_t)type;
    header[2] = (uint8_t)(request_id >> 8);
    header[3] = (uint8_t)request_id;
    header[4] = (uint8_t)(content_bytes >> 8);
    header[5] = (uint8_t)content_bytes;
    header[6] = header[7] = 0;
}
