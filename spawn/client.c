/* client.c: the web server's side of FastCGI, for a request without a body. */
#include "spawn/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "spawn/record.h"
#include "spawn/spawn.h"

enum { ID = 1, MAX_ANSWER = 4 << 20 };

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = strlen(path);

    if (n >= sizeof address.sun_path)
        return errno = ENAMETOOLONG, -1;
    memcpy(address.sun_path, path, n + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Both short enough for one-byte lengths. */
static void add_pair(struct fcgi_buffer *out, const char *name, const char *value)
{
    uint8_t lengths[2] = {(uint8_t)strlen(name), (uint8_t)strlen(value)};

    fcgi_buffer_add(out, lengths, sizeof lengths);
    fcgi_buffer_text(out, name);
    fcgi_buffer_text(out, value);
}

static void add_record(struct fcgi_buffer *out, enum spawn_record_type type, const void *bytes,
                       size_t n)
{
    uint8_t header[SPAWN_RECORD_HEADER_BYTES];

    spawn_record_header(header, type, ID, n);
    fcgi_buffer_add(out, header, sizeof header);
    fcgi_buffer_add(out, bytes, n);
}

static int send_request(int fd, const char *path)
{
    static const uint8_t begin[8] = {0, 1}; /* responder, close afterwards */
    struct fcgi_buffer params = {0}, out = {0};

    add_pair(&params, "REQUEST_METHOD", "GET");
    add_pair(&params, "DOCUMENT_URI", path);
    add_pair(&params, "RESNET_LISTENER", "internal");
    add_record(&out, SPAWN_RECORD_BEGIN, begin, sizeof begin);
    add_record(&out, SPAWN_RECORD_PARAMS, params.bytes, params.n);
    add_record(&out, SPAWN_RECORD_PARAMS, NULL, 0);
    add_record(&out, SPAWN_RECORD_STDIN, NULL, 0);
    /* far smaller than a fresh socket's buffer: written whole or not at all */
    int failed = params.failed || out.failed;
    if (failed)
        errno = ENOMEM;
    else
        failed = send(fd, out.bytes, out.n, MSG_NOSIGNAL) != (ssize_t)out.n;
    int error = errno;
    fcgi_buffer_free(&params);
    fcgi_buffer_free(&out);
    errno = error;
    return failed ? -1 : 0;
}

static int receive_all(int fd, int64_t due_ns, struct fcgi_buffer *wire)
{
    char bytes[8192];

    while (!wire->failed && wire->n < MAX_ANSWER) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n > 0)
            fcgi_buffer_add(wire, bytes, (size_t)n);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        int64_t left_ns = due_ns - spawn_now_ns();
        if (n < 0 && left_ns <= 0)
            return errno = ETIMEDOUT, -1;
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (n < 0)
            poll(&poll_fd, 1, (int)(left_ns / 1000000) + 1);
    }
    return errno = wire->failed ? ENOMEM : EMSGSIZE, -1;
}

/* STDOUT of all records, up to END_REQUEST. */
static int unwrap(const struct fcgi_buffer *wire, struct fcgi_buffer *text)
{
    const uint8_t *bytes = (const uint8_t *)wire->bytes;

    for (size_t at = 0; wire->n - at >= SPAWN_RECORD_HEADER_BYTES;) {
        size_t n = (size_t)(bytes[at + 4] << 8 | bytes[at + 5]);
        size_t padding = bytes[at + 6];
        int type = bytes[at + 1];
        at += SPAWN_RECORD_HEADER_BYTES;
        if (wire->n - at < n + padding)
            break;
        if (type == SPAWN_RECORD_END)
            return 0;
        if (type == SPAWN_RECORD_STDOUT)
            fcgi_buffer_add(text, bytes + at, n);
        at += n + padding;
    }
    return errno = EPROTO, -1;
}

static int split(struct fcgi_buffer *text, struct fcgi_buffer *body)
{
    static const char status[] = "Status: ";

    fcgi_buffer_add(text, "", 1);
    if (text->failed)
        return errno = ENOMEM, -1;
    char *end = strstr(text->bytes, "\r\n\r\n");
    if (!end || strncmp(text->bytes, status, sizeof status - 1) != 0)
        return errno = EPROTO, -1;
    fcgi_buffer_text(body, end + 4);
    fcgi_buffer_add(body, "", 1);
    if (body->failed)
        return errno = ENOMEM, -1;
    body->n--;
    return (int)strtol(text->bytes + sizeof status - 1, NULL, 10);
}

int spawn_client_get(const char *socket_path, const char *path, int timeout_ms,
                     struct fcgi_buffer *body)
{
    struct fcgi_buffer wire = {0}, text = {0};
    int64_t due_ns = spawn_now_ns() + timeout_ms * 1000000LL;
    int status = -1;
    int fd = connect_to(socket_path);

    if (fd < 0)
        return -1;
    fcgi_buffer_reset(body);
    if (!send_request(fd, path) && !receive_all(fd, due_ns, &wire) && !unwrap(&wire, &text))
        status = split(&text, body);
    int error = errno;
    close(fd);
    fcgi_buffer_free(&wire);
    fcgi_buffer_free(&text);
    errno = error;
    return status;
}
