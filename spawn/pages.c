/* pages.c: mapping and summing up the scoreboard. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawn/pages.h"

static void *take(int fd, int writable)
{
    void *page = fcgi_scoreboard_map(fd, writable);

    if (page)
        close(fd);
    return page;
}

int spawn_pages_open(struct spawn_pages *pages, int board_fd, int deaths_fd, char text[256])
{
    *pages = (struct spawn_pages){.main = take(board_fd, 0)};
    if (!pages->main || !fcgi_scoreboard_is_main(pages->main)) {
        snprintf(text, 256,
                 "--board-fd %d is not the page of a resnet-spawn of this version: "
                 "resnet-control is started by resnet-spawn, not by hand",
                 board_fd);
        return -1;
    }
    int n = (int)pages->main->n_slots;
    pages->slots =
        n > 0 && n <= FCGI_BOARD_MAX_SLOTS ? calloc((size_t)n, sizeof *pages->slots) : NULL;
    for (; pages->slots && pages->n < n; pages->n++) {
        const struct fcgi_board_worker *page = take(board_fd + 1 + pages->n, 0);
        if (!page || !fcgi_scoreboard_is_worker(page))
            break;
        pages->slots[pages->n] = page;
    }
    if (pages->slots && pages->n == n)
        pages->control = take(board_fd + 1 + n, 1);
    pages->deaths = fcgi_deaths_map(deaths_fd, 0);
    if (pages->deaths)
        close(deaths_fd);
    if (pages->control && fcgi_scoreboard_is_control(pages->control) && pages->deaths)
        return 0;
    snprintf(text, 256, "--board-fd %d: page %d of %d: %s", board_fd, pages->n + 1, n + 1,
             strerror(errno));
    spawn_pages_close(pages);
    return -1;
}

void spawn_pages_close(struct spawn_pages *pages)
{
    for (int i = 0; i < pages->n; i++)
        fcgi_scoreboard_unmap((void *)(uintptr_t)pages->slots[i]);
    free(pages->slots);
    fcgi_deaths_unmap((void *)(uintptr_t)pages->deaths);
    fcgi_scoreboard_unmap(pages->control);
    fcgi_scoreboard_unmap((void *)(uintptr_t)pages->main);
    *pages = (struct spawn_pages){0};
}

struct spawn_tally spawn_pages_tally(const struct spawn_pages *pages)
{
    struct spawn_tally tally = {0};

    for (int i = 0; i < pages->n; i++) {
        uint32_t state = pages->slots[i]->state;
        tally.ready += state == FCGI_WORKER_IDLE || state == FCGI_WORKER_BUSY;
        tally.busy += state == FCGI_WORKER_BUSY;
        tally.starting += state == FCGI_WORKER_STARTING;
        tally.draining += state == FCGI_WORKER_DRAINING;
    }
    return tally;
}

enum fcgi_sandbox_state spawn_pages_sandbox(const struct spawn_pages *pages)
{
    uint32_t state = pages->control->sandbox;

    for (int i = 0; i < pages->n && state == FCGI_SANDBOX_ON; i++) {
        uint32_t life = pages->slots[i]->state;
        if (life != FCGI_WORKER_NONE && life != FCGI_WORKER_STARTING)
            state = pages->slots[i]->sandbox;
    }
    return (enum fcgi_sandbox_state)state;
}

uint64_t spawn_pages_violations(const struct spawn_pages *pages)
{
    uint64_t all = pages->control->violations;

    for (int i = 0; i < pages->n; i++)
        all += pages->slots[i]->violations;
    return all;
}

const struct fcgi_board_worker *spawn_pages_model(const struct spawn_pages *pages,
                                                  struct fcgi_board_model *model)
{
    const struct fcgi_board_worker *found = NULL;
    struct fcgi_board_model one;

    *model = (struct fcgi_board_model){0};
    for (int i = 0; i < pages->n; i++) {
        const struct fcgi_board_worker *page = pages->slots[i];
        if ((found && page->generation <= found->generation) || !fcgi_scoreboard_model(page, &one))
            continue;
        found = page;
        *model = one;
    }
    return found;
}

/* A slot that is out of use may remember another model. */
double spawn_pages_service_us(const struct spawn_pages *pages)
{
    double all = 0, used = 0;
    int n_all = 0, n_used = 0;

    for (int i = 0; i < pages->n; i++) {
        double us = (double)pages->slots[i]->service_us;
        bool is_used = us > 0 && pages->slots[i]->state != FCGI_WORKER_NONE;
        n_all += us > 0;
        all += us;
        n_used += is_used;
        used += is_used ? us : 0;
    }
    if (n_used)
        return used / n_used;
    return n_all ? all / n_all : 0;
}

uint64_t spawn_pages_queue_age_us(const struct spawn_pages *pages, uint64_t now_ns)
{
    uint64_t last_ns = pages->main->start_ns, waited_us = 0;

    for (int i = 0; i < pages->n; i++) {
        const struct fcgi_board_worker *page = pages->slots[i];
        if (page->state == FCGI_WORKER_IDLE)
            return 0;
        if (page->accepted_ns > last_ns) {
            last_ns = page->accepted_ns;
            waited_us = page->queue_us;
        }
    }
    uint64_t since_us = now_ns > last_ns ? (now_ns - last_ns) / 1000 : 0;
    return since_us > waited_us ? since_us : waited_us;
}
