/* input.c: STDIN's records into one block, as they come. libfcgi is not asked: it would take 8 KiB
 * at a time, and a management record among them overruns a buffer on its stack. */
#include "fcgi/input.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "fcgi/records.h"
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

/* What is there, with the socket's time-out for the first byte. Headers and padding come with it,
 * and are taken out. Returns 0, or -1 when the body broke off. */
static int read_some(struct fcgi_input *input, int fd, struct fcgi_records_stdin *in)
{
    enum { PIECE_BYTES = 256 << 10, TRASH_BYTES = 16 << 10 };
    uint8_t trash[TRASH_BYTES];
    size_t room = input->max - input->n, content;
    size_t most = room == 0 ? TRASH_BYTES : room < PIECE_BYTES ? room : PIECE_BYTES;
    uint8_t *to = room ? input->bytes + input->n : trash;
    ssize_t n;

    do
        n = recv(fd, to, most, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0 || fcgi_records_stdin(in, to, (size_t)n, &content))
        return -1;
    input->n += room ? content : 0;
    input->total += content;
    return 0;
}

static int check(const struct fcgi_input *input, int broken, int64_t declared, struct fcgi_err *err)
{
    if (broken && declared >= 0)
        return fcgi_fail(err, FCGI_E_BODY_TRUNCATED,
                         "the body broke off after %" PRIu64 " of %" PRId64 " bytes", input->total,
                         declared);
    if (broken)
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

int fcgi_input_read(struct fcgi_input *input, int fd, int id, int64_t declared, uint64_t end_ns,
                    _Atomic uint64_t *ticks, struct fcgi_err *err)
{
    const uint64_t drain_ns = 5000000000u;
    uint64_t now_ns = fcgi_scoreboard_now_ns(), drain_end_ns = now_ns + drain_ns;
    uint64_t last_ns = end_ns > drain_end_ns ? end_ns : drain_end_ns;
    struct fcgi_records_stdin in = {.id = id};
    int late = 0, broken = 0;

    input->n = 0;
    input->total = 0;
    while (!late && !in.ended) {
        broken = read_some(input, fd, &in);
        if (broken)
            break;
        *ticks += 1;
        now_ns = fcgi_scoreboard_now_ns();
        late = now_ns > (input->total > input->max ? drain_end_ns : last_ns);
    }
    if (late && input->total <= input->max)
        return fcgi_fail(err, FCGI_E_DEADLINE_EXCEEDED,
                         "the request's time was up while its body still came in");
    return check(input, broken, declared, err);
}
