/* response.c: CGI header lines, the error body, and one send(2). */
#include "fcgi/response.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "fcgi/json.h"
#include "fcgi/records.h"
#include "fcgi/scoreboard.h"

int fcgi_response_open(struct fcgi_response *response)
{
    enum { PART_BYTES = 4096 };

    return fcgi_buffer_reserve(&response->head, PART_BYTES) &&
                   fcgi_buffer_reserve(&response->body, PART_BYTES) &&
                   fcgi_buffer_reserve(&response->wire, 3 * PART_BYTES)
               ? 0
               : -1;
}

void fcgi_response_reset(struct fcgi_response *response)
{
    response->code = FCGI_E_OK;
    response->content_type = NULL;
    fcgi_buffer_reset(&response->head);
    fcgi_buffer_reset(&response->body);
    fcgi_buffer_reset(&response->wire);
}

void fcgi_response_free(struct fcgi_response *response)
{
    fcgi_buffer_free(&response->head);
    fcgi_buffer_free(&response->body);
    fcgi_buffer_free(&response->wire);
}

void fcgi_response_header(struct fcgi_response *response, const char *name, const char *value)
{
    fcgi_buffer_text(&response->head, name);
    fcgi_buffer_text(&response->head, ": ");
    fcgi_buffer_text(&response->head, value);
    fcgi_buffer_text(&response->head, "\r\n");
}

void fcgi_response_error(struct fcgi_response *response, const struct fcgi_err *err,
                         const char *request_id)
{
    struct fcgi_buffer *body = &response->body;

    response->code = err->code;
    response->content_type = NULL;
    fcgi_buffer_reset(body);
    fcgi_buffer_text(body, "{\"success\":false,\"error\":");
    fcgi_json_string(body, err->text);
    fcgi_buffer_text(body, ",\"code\":");
    fcgi_json_string(body, fcgi_error_code(err->code));
    fcgi_buffer_text(body, ",\"request_id\":");
    fcgi_json_string(body, request_id);
    fcgi_buffer_text(body, "}\n");
}

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Error";
    }
}

int fcgi_response_seal(struct fcgi_response *response, int id)
{
    int status = fcgi_error_status(response->code);
    struct fcgi_buffer *head = &response->head;

    fcgi_buffer_format(head, "Status: %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                       status, reason_phrase(status),
                       response->content_type ? response->content_type : "application/json",
                       response->body.n);
    fcgi_buffer_reset(&response->wire);
    fcgi_records_answer(&response->wire, id, head, &response->body);
    return head->failed || response->body.failed || response->wire.failed ? -1 : 0;
}

/* A send buffer that holds the answer whole lets one call take it, whatever the reader does. */
static void make_room(int fd, size_t n)
{
    enum { USUAL_BYTES = 64 << 10, MOST_BYTES = 8 << 20 };
    int size = n < MOST_BYTES / 2 ? (int)n * 2 : MOST_BYTES; /* the kernel counts overhead */

    if (n > USUAL_BYTES)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Until fd takes bytes again; 0 when the time is up. */
static int wait_writable(int fd, uint64_t end_ns)
{
    struct pollfd peer = {.fd = fd, .events = POLLOUT};
    uint64_t now_ns = fcgi_scoreboard_now_ns();

    if (now_ns >= end_ns)
        return 0;
    return poll(&peer, 1, (int)((end_ns - now_ns) / 1000000 + 1)) > 0;
}

int fcgi_response_send(const struct fcgi_response *response, int fd, int timeout_ms)
{
    uint64_t end_ns = fcgi_scoreboard_now_ns() + (uint64_t)timeout_ms * 1000000u;
    const char *at = response->wire.bytes;
    size_t left = response->wire.n;

    make_room(fd, left);
    while (left) {
        ssize_t n = send(fd, at, left, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            left -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (wait_writable(fd, end_ns))
                continue;
            errno = ETIMEDOUT;
            return -1;
        } else if (n < 0 && errno != EINTR) {
            return -1;
        }
    }
    return 0;
}
