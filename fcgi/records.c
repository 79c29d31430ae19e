/* records.c: the few record types that a responder and nginx exchange (FastCGI 1.0, section 3). */
#include "fcgi/records.h"

#include <string.h>

enum {
    VERSION = 1,
    BEGIN_REQUEST = 1,
    END_REQUEST = 3,
    PARAMS = 4,
    STDIN = 5,
    STDOUT = 6,
    RESPONDER = 1
};
enum { HEADER_BYTES = 8, MAX_CONTENT = 65528 /* the largest multiple of 8 that 16 bits hold */ };

struct record {
    int type, id;
    const uint8_t *content;
    size_t n, total; /* total: header and padding included */
};

/* 1: a whole record is at bytes, 0: not yet, -1: not FastCGI. */
static int parse_record(const uint8_t *bytes, size_t n, struct record *record)
{
    if (n > 0 && bytes[0] != VERSION)
        return -1;
    if (n < HEADER_BYTES)
        return 0;
    record->type = bytes[1];
    record->id = bytes[2] << 8 | bytes[3];
    record->n = (size_t)(bytes[4] << 8 | bytes[5]);
    record->total = HEADER_BYTES + record->n + bytes[6];
    record->content = bytes + HEADER_BYTES;
    return record->total <= n;
}

/* ---- the parameters, walked across records -------------------------------------------------- */

/* Names and values may be cut anywhere by a record's end: this counts bytes, it keeps none. */
struct pairs {
    uint64_t skip;      /* bytes of the present name and value still to come */
    uint32_t length[2]; /* of name and value */
    int field;          /* which length is being read: 0 or 1 */
    int more;           /* bytes of a four-byte length still to come */
};

static int end_length(struct pairs *pairs)
{
    if (pairs->length[pairs->field] > FCGI_RECORDS_MAX_HEAD)
        return -1;
    if (pairs->field++ == 0)
        return 0;
    pairs->skip = (uint64_t)pairs->length[0] + pairs->length[1];
    pairs->field = 0;
    return 0;
}

static int walk_length_byte(struct pairs *pairs, uint8_t byte)
{
    uint32_t *length = &pairs->length[pairs->field];

    if (pairs->more) {
        *length = *length << 8 | byte;
        pairs->more--;
    } else if (byte & 0x80) {
        *length = byte & 0x7f;
        pairs->more = 3;
    } else {
        *length = byte;
    }
    return pairs->more ? 0 : end_length(pairs);
}

static int walk_pairs(struct pairs *pairs, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (pairs->skip) {
            size_t step = n - i < pairs->skip ? n - i : (size_t)pairs->skip;
            pairs->skip -= step;
            i += step;
        } else if (walk_length_byte(pairs, bytes[i++])) {
            return -1;
        }
    }
    return 0;
}

static enum fcgi_records_verdict wrong(const char **why, const char *sentence)
{
    *why = sentence;
    return FCGI_RECORDS_WRONG;
}

static int is_begin(const struct record *record)
{
    return record->type == BEGIN_REQUEST && record->id != 0 && record->n == 8 &&
           (record->content[0] << 8 | record->content[1]) == RESPONDER;
}

enum fcgi_records_verdict fcgi_records_head(const uint8_t *bytes, size_t n, const char **why)
{
    struct pairs pairs = {0};
    struct record record;
    int whole, id = 0;

    for (size_t at = 0;; at += record.total) {
        whole = parse_record(bytes + at, n - at, &record);
        if (whole < 0)
            return wrong(why, "not FastCGI version 1");
        if (!whole && n >= FCGI_RECORDS_MAX_HEAD)
            return wrong(why, "more than 128 KiB of parameters");
        if (!whole)
            return FCGI_RECORDS_MORE;
        if (at == 0) {
            if (!is_begin(&record))
                return wrong(why, "expected BEGIN_REQUEST of a responder");
            id = record.id;
            continue;
        }
        if (record.type != PARAMS || record.id != id)
            return wrong(why, "expected PARAMS of the same request");
        if (record.n == 0)
            break;
        if (walk_pairs(&pairs, record.content, record.n))
            return wrong(why, "a parameter longer than 128 KiB");
    }
    if (pairs.skip || pairs.field || pairs.more)
        return wrong(why, "a parameter ends after the parameters' end");
    return FCGI_RECORDS_WHOLE;
}

size_t fcgi_records_head_bytes(const uint8_t *bytes, size_t n)
{
    struct record record = {.total = 0};
    size_t at = 0;

    while (parse_record(bytes + at, n - at, &record) > 0) {
        at += record.total;
        if (record.type == PARAMS && record.n == 0)
            break;
    }
    return at;
}

size_t fcgi_records_head_bare(uint8_t *bytes, size_t n)
{
    enum { PADDING_AT = 6 };
    struct record record;
    size_t to = 0;

    for (size_t at = 0; parse_record(bytes + at, n - at, &record) > 0; at += record.total) {
        memmove(bytes + to, bytes + at, HEADER_BYTES + record.n);
        bytes[to + PADDING_AT] = 0;
        to += HEADER_BYTES + record.n;
    }
    return to;
}

/* ---- the body ------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A record's header is there. */
static int begin_record(struct fcgi_records_stdin *in)
{
    struct record record;

    if (parse_record(in->header, HEADER_BYTES, &record) < 0 || record.type != STDIN ||
        record.id != in->id)
        return -1;
    in->header_n = 0;
    in->content = record.n;
    in->padding = record.total - HEADER_BYTES - record.n;
    in->ended = record.n == 0;
    return 0;
}

int fcgi_records_stdin(struct fcgi_records_stdin *in, uint8_t *bytes, size_t n, size_t *content)
{
    *content = 0;
    for (size_t i = 0, step; i < n && !in->ended; i += step) {
        if (in->content) {
            step = least(in->content, n - i);
            memmove(bytes + *content, bytes + i, step);
            *content += step;
            in->content -= step;
        } else if (in->padding) {
            step = least(in->padding, n - i);
            in->padding -= step;
        } else {
            step = least(HEADER_BYTES - in->header_n, n - i);
            memcpy(in->header + in->header_n, bytes + i, step);
            in->header_n += step;
            if (in->header_n == HEADER_BYTES && begin_record(in))
                return -1;
        }
    }
    return 0;
}

/* ---- an answer ------------------------------------------------------------------------------ */

static void add_header(struct fcgi_buffer *wire, int type, int id, size_t n)
{
    unsigned char header[HEADER_BYTES] = {
        VERSION,           (unsigned char)type,     (unsigned char)(id >> 8),
        (unsigned char)id, (unsigned char)(n >> 8), (unsigned char)n};

    fcgi_buffer_add(wire, header, sizeof header);
}

void fcgi_records_answer(struct fcgi_buffer *wire, int id, const struct fcgi_buffer *head,
                         const struct fcgi_buffer *body)
{
    static const unsigned char end[8] = {0}; /* application status 0, request complete */
    size_t total = head->n + body->n, at = 0;

    while (at < total) {
        size_t n = total - at < MAX_CONTENT ? total - at : MAX_CONTENT;
        size_t from_head = at < head->n ? head->n - at : 0;
        if (from_head > n)
            from_head = n;
        add_header(wire, STDOUT, id, n);
        if (from_head)
            fcgi_buffer_add(wire, head->bytes + at, from_head);
        if (n > from_head)
            fcgi_buffer_add(wire, body->bytes + (at + from_head - head->n), n - from_head);
        at += n;
    }
    add_header(wire, STDOUT, id, 0);
    add_header(wire, END_REQUEST, id, sizeof end);
    fcgi_buffer_add(wire, end, sizeof end);
}
