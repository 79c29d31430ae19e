/* record.h: FastCGI records, for resnet-control (which reads requests) and resnet-ctl (which makes
 * one); answers are written by fcgi/records.h. The parser takes bytes as they come, in any cuts,
 * and keeps what control needs to know: nothing that a peer sends decides how much memory is used.
 */
#ifndef SPAWN_RECORD_H
#define SPAWN_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SPAWN_RECORD_HEADER_BYTES = 8 };

enum spawn_record_type {
    SPAWN_RECORD_BEGIN = 1,
    SPAWN_RECORD_ABORT = 2,
    SPAWN_RECORD_END = 3,
    SPAWN_RECORD_PARAMS = 4,
    SPAWN_RECORD_STDIN = 5,
    SPAWN_RECORD_STDOUT = 6,
};

/* The parameters that are kept; longer values are cut. */
struct spawn_params {
    char method[16], uri[256], nginx_id[64], request_id[160], listener[16], traceparent[64];
};

enum spawn_record_state { SPAWN_RECORD_MORE, SPAWN_RECORD_WHOLE, SPAWN_RECORD_BROKEN };

struct spawn_record_reader {
    struct spawn_params params;
    uint16_t request_id;
    bool begun, params_ended;
    enum spawn_record_state state;

    /* the record that is being read */
    uint8_t header[SPAWN_RECORD_HEADER_BYTES];
    unsigned header_n, content_left, padding_left;
    uint8_t begin[8];
    unsigned begin_n;

    /* the name-value pair that is being read */
    enum { SPAWN_PAIR_LENGTHS, SPAWN_PAIR_NAME, SPAWN_PAIR_VALUE } pair;
    uint8_t lengths[8];
    unsigned lengths_n;
    uint32_t name_left, value_left;
    char name[32];
    unsigned name_n;
    char *value; /* inside params, NULL: not kept */
    size_t value_n, value_size;
};

void spawn_record_init(struct spawn_record_reader *reader);

/* Takes all n bytes. WHOLE once STDIN has ended: the answer can be given. BROKEN: close. */
enum spawn_record_state spawn_record_feed(struct spawn_record_reader *reader, const uint8_t *bytes,
                                          size_t n);

void spawn_record_header(uint8_t header[SPAWN_RECORD_HEADER_BYTES], enum spawn_record_type type,
                         uint16_t request_id, size_t content_bytes);

#endif
