/* pages.c: mapping and summing up the scoreboard. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawn/pages.h"

static const void *take(int fd)
{
    const void *page = fcgi_scoreboard_map(fd, 0);

    if (page)
        close(fd);
    return page;
}

int spawn_pages_open(struct spawn_pages *pages, int board_fd, char text[256])
{
    *pages = (struct spawn_pages){.main = take(board_fd)};
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
        const struct fcgi_board_worker *page = take(board_fd + 1 + pages->n);
        if (!page || !fcgi_scoreboard_is_worker(page))
            break;
        pages->slots[pages->n] = page;
    }
    if (pages->slots && pages->n == n)
        return 0;
    snprintf(text, 256, "--board-fd %d: page of slot %d: %s", board_fd, pages->n, strerror(errno));
    spawn_pages_close(pages);
    return -1;
}

void spawn_pages_close(struct spawn_pages *pages)
{
    for (int i = 0; i < pages->n; i++)
        fcgi_scoreboard_unmap((void *)(uintptr_t)pages->slots[i]);
    free(pages->slots);
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

const struct fcgi_board_worker *spawn_pages_model(const struct spawn_pages *pages)
{
    const struct fcgi_board_worker *found = NULL;

    for (int i = 0; i < pages->n; i++) {
        const struct fcgi_board_worker *page = pages->slots[i];
        if (!page->model_sha256[0] || page->state == FCGI_WORKER_STARTING)
            continue;
        if (!found || page->generation > found->generation)
            found = page;
    }
    return found;
}

void spawn_pages_work(const struct spawn_pages *pages, uint64_t *answers, uint64_t *work_us)
{
    *answers = *work_us = 0;
    for (int i = 0; i < pages->n; i++) {
        *answers += pages->slots[i]->requests;
        for (int stage = FCGI_STAGE_READ; stage < FCGI_N_STAGES; stage++)
            *work_us += pages->slots[i]->stages[stage].sum_us;
    }
}
