/* input.c: STDIN by libfcgi, one of its buffers at a time. */
#include "fcgi/input.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fcgi/scoreboard.h"

int fcgi_input_open(struct fcgi_input *input, size_t max)
{
    void *bytes =
        mmap(NULL, max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    memset(input, 0, sizeof *input);
    if (bytes == MAP_FAILED)
        return -1;
    input->bytes = bytes;
    input->max = max;
    return 0;
}

void fcgi_input_close(struct fcgi_input *input)
{
    if (input->bytes)
        munmap(input->bytes, input->max);
    memset(input, 0, sizeof *input);
}

void fcgi_input_trim(struct fcgi_input *input)
{
    enum { KEPT_BYTES = 1 << 20 };

    if (input->n > KEPT_BYTES)
        madvise(input->bytes + KEPT_BYTES, input->max - KEPT_BYTES, MADV_DONTNEED);
    input->n = 0;
}

/* One byte makes libfcgi read one buffer's worth, with the socket's time-out; the rest of it is
 * there already. So the clock can be looked at between two reads. Returns 0 at the end. */
static int read_some(struct fcgi_input *input, FCGX_Stream *in)
{
    char trash[8192];
    int c = FCGX_GetChar(in);

    if (c == EOF)
        return 0;
    if (input->n < input->max)
        input->bytes[input->n++] = (uint8_t)c;
    input->total++;
    while (in->stop > in->rdNext) {
        size_t ready = (size_t)(in->stop - in->rdNext), room = input->max - input->n;
        char *to = room ? (char *)input->bytes + input->n : trash;
        size_t n = room ? room : sizeof trash;
        int got = FCGX_GetStr(to, (int)(n < ready ? n : ready), in);
        if (got <= 0)
            break;
        if (room)
            input->n += (size_t)got;
        input->total += (size_t)got;
    }
    return 1;
}

static int check(const struct fcgi_input *input, int error, int64_t declared, struct fcgi_err *err)
{
    if (error && declared >= 0)
        return fcgi_fail(err, FCGI_E_BODY_TRUNCATED,
                         "the body broke off after %" PRIu64 " of %" PRId64 " bytes", input->total,
                         declared);
    if (error)
        return fcgi_fail(err, FCGI_E_BODY_TRUNCATED, "the body broke off after %" PRIu64 " bytes",
                         input->total);
    if (input->total > input->max)
        return fcgi_fail(err, FCGI_E_BODY_TOO_LARGE,
                         "the body has %" PRIu64 " bytes, the limit is %zu", input->total,
                         input->max);
    if (declared >= 0 && input->total < (uint64_t)declared)
        return fcgi_fail(err, FCGI_E_BODY_TRUNCATED,
                         "Content-Length says %" PRId64 " bytes, only %" PRIu64 " came", declared,
                         input->total);
    if (declared >= 0 && input->total > (uint64_t)declared)
        return fcgi_fail(err, FCGI_E_BAD_REQUEST,
                         "Content-Length says %" PRId64 " bytes, %" PRIu64 " came", declared,
                         input->total);
    return FCGI_E_OK;
}

int fcgi_input_read(struct fcgi_input *input, FCGX_Stream *in, int64_t declared, uint64_t end_ns,
                    _Atomic uint64_t *ticks, struct fcgi_err *err)
{
    const uint64_t drain_ns = 5000000000u;
    uint64_t now_ns = fcgi_scoreboard_now_ns(), drain_end_ns = now_ns + drain_ns;
    uint64_t last_ns = end_ns > drain_end_ns ? end_ns : drain_end_ns;
    int late = 0;

    input->n = 0;
    input->total = 0;
    while (!late && read_some(input, in)) {
        *ticks += 1;
        now_ns = fcgi_scoreboard_now_ns();
        late = now_ns > (input->total > input->max ? drain_end_ns : last_ns);
    }
    if (late && input->total <= input->max)
        return fcgi_fail(err, FCGI_E_DEADLINE_EXCEEDED,
                         "the request's time was up while its body still came in");
    return check(input, FCGX_GetError(in), declared, err);
}
