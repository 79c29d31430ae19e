/* http_load.c: http-load PORT CLIENTS SECONDS FILE: clients that POST a picture to /predict on
 * 127.0.0.1 again and again, a connection each time, and one JSON object about it. In C and without
 * any parsing, so that what is measured is the other side. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 256, MAX_ANSWERS = 100000, MAX_FILE = 64 << 20, TIMEOUT_S = 30 };

struct client {
    pthread_t thread;
    int n_good, n_bad;
    double *ms; /* [n_good], MAX_ANSWERS at most */
};

static struct {
    struct sockaddr_in server;
    char *request; /* head and body */
    size_t request_bytes;
    double end_ms;
} plan;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int quit(const char *sentence)
{
    fprintf(stderr, "http-load: %s\n", sentence);
    return 1;
}

static int send_all(int fd)
{
    for (size_t sent = 0; sent < plan.request_bytes;) {
        ssize_t n = send(fd, plan.request + sent, plan.request_bytes - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        sent += (size_t)n;
    }
    return 0;
}

/* Whether the answer is a 200; reads to its end. */
static int receive(int fd)
{
    char bytes[16384];
    size_t got = 0;
    ssize_t n;

    while ((n = recv(fd, bytes + got, sizeof bytes - got, 0)) > 0)
        if ((got += (size_t)n) == sizeof bytes)
            return 0;
    return n == 0 && got > 12 && !memcmp(bytes + 9, "200", 3);
}

static int ask(void)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), good = 0;

    if (fd < 0)
        return 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (!connect(fd, (struct sockaddr *)&plan.server, sizeof plan.server) && !send_all(fd))
        good = receive(fd);
    close(fd);
    return good;
}

/* An answer that comes after the end does not count: the others have stopped by then. */
static void *run(void *argument)
{
    struct client *client = argument;

    while (client->n_good < MAX_ANSWERS && client->n_bad < MAX_ANSWERS) {
        double start = now_ms();
        if (start >= plan.end_ms)
            break;
        int good = ask();
        double end = now_ms();
        if (!good)
            client->n_bad++;
        else if (end <= plan.end_ms)
            client->ms[client->n_good++] = end - start;
    }
    return NULL;
}

/* Head and body in one piece. 0, or -1. */
static int make_request(const char *path)
{
    FILE *file = fopen(path, "rbe");
    char head[256];
    size_t head_bytes, body_bytes;
    long size;

    if (file == NULL || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0 || size > MAX_FILE)
        return -1;
    rewind(file);
    body_bytes = (size_t)size;
    head_bytes = (size_t)snprintf(head, sizeof head,
                                  "POST /predict HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Type: image/jpeg\r\nContent-Length: %zu\r\n"
                                  "Connection: close\r\n\r\n",
                                  body_bytes);
    plan.request_bytes = head_bytes + body_bytes;
    plan.request = malloc(plan.request_bytes);
    if (plan.request == NULL)
        return -1;
    memcpy(plan.request, head, head_bytes);
    size_t got = fread(plan.request + head_bytes, 1, body_bytes, file);
    fclose(file);
    return got == body_bytes ? 0 : -1;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const struct client *clients, int n_clients, double seconds)
{
    static double all[MAX_CLIENTS * 1000];
    const size_t most = sizeof all / sizeof *all;
    size_t n = 0;
    int bad = 0, good = 0;

    for (int i = 0; i < n_clients; i++) {
        bad += clients[i].n_bad;
        good += clients[i].n_good;
        for (int j = 0; j < clients[i].n_good && n < most; j++)
            all[n++] = clients[i].ms[j];
    }
    qsort(all, n, sizeof *all, ascending);
    printf("{\"good\":%d,\"bad\":%d,\"per_second\":%.3f,", good, bad, good / seconds);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"min_ms\":%.3f}\n", n ? all[n / 2] : 0,
           n ? all[n * 99 / 100] : 0, n ? all[0] : 0);
}

int main(int argc, char **argv)
{
    static struct client clients[MAX_CLIENTS];

    if (argc != 5)
        return quit("expected PORT CLIENTS SECONDS FILE");
    int port = atoi(argv[1]), n = atoi(argv[2]);
    double seconds = atof(argv[3]);
    if (port < 1 || port > 65535 || n < 1 || n > MAX_CLIENTS || !(seconds > 0))
        return quit("a number is out of range");
    if (make_request(argv[4]))
        return quit("FILE cannot be read");
    plan.server.sin_family = AF_INET;
    plan.server.sin_port = htons((uint16_t)port);
    plan.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    plan.end_ms = now_ms() + seconds * 1e3;
    for (int i = 0; i < n; i++) {
        clients[i].ms = malloc(MAX_ANSWERS * sizeof *clients[i].ms);
        if (clients[i].ms == NULL ||
            pthread_create(&clients[i].thread, NULL, run, &clients[i]) != 0)
            return quit("a client could not be started");
    }
    for (int i = 0; i < n; i++)
        pthread_join(clients[i].thread, NULL);
    report(clients, n, seconds);
    for (int i = 0; i < n; i++)
        free(clients[i].ms);
    free(plan.request);
    return 0;
}
