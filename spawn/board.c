/* board.c: the pages of the scoreboard. They are made once, before anything runs: twice as many
 * slots as workers, so that a new generation stands beside the old, and two more for workers that
 * take long to leave. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "spawn/spawn.h"

/* Descriptors in one row, so that control needs to be told one number only. */
static int create_at(int fd, const char *name)
{
    int page_fd = fcgi_scoreboard_create(name);

    if (page_fd < 0 || fd < 0 || page_fd == fd)
        return page_fd;
    int moved = fcntl(page_fd, F_DUPFD_CLOEXEC, fd);
    close(page_fd);
    if (moved == fd || moved < 0)
        return moved;
    close(moved);
    errno = EBUSY;
    return -1;
}

static int open_slot(struct spawn *s, int slot)
{
    struct spawn_worker *worker = &s->workers[slot];
    char name[32];

    snprintf(name, sizeof name, "resnet-slot-%d", slot);
    worker->ready_fd = -1;
    worker->due_ns = INT64_MAX;
    worker->page_fd = create_at(s->board_fd + 1 + slot, name);
    if (worker->page_fd < 0)
        return -1;
    worker->page = fcgi_scoreboard_map(worker->page_fd, 1);
    if (!worker->page)
        return -1;
    fcgi_scoreboard_init_worker(worker->page, slot);
    return 0;
}

static int open_control(struct spawn *s)
{
    s->control.page_fd = create_at(s->board_fd + 1 + s->n_slots, "resnet-control");
    if (s->control.page_fd < 0)
        return -1;
    struct fcgi_board_control *page = fcgi_scoreboard_map(s->control.page_fd, 1);
    if (!page)
        return -1;
    fcgi_scoreboard_init_control(page);
    fcgi_scoreboard_unmap(page);
    return 0;
}

static int open_crew(struct spawn *s)
{
    s->crew_fd = fcgi_crew_create(s->n_slots);
    if (s->crew_fd < 0)
        return -1;
    s->crew = fcgi_crew_map(s->crew_fd);
    return s->crew ? 0 : -1;
}

int spawn_board_open(struct spawn *s)
{
    s->n_slots = 2 * s->n_workers + 2;
    s->workers = calloc((size_t)s->n_slots, sizeof *s->workers);
    if (!s->workers)
        return -1;
    s->board_fd = create_at(-1, "resnet-board");
    if (s->board_fd < 0)
        return -1;
    s->board = fcgi_scoreboard_map(s->board_fd, 1);
    if (!s->board)
        return -1;
    fcgi_scoreboard_init_main(s->board, s->n_slots);
    s->board->pid = (int32_t)getpid();
    s->board->workers = (uint32_t)s->n_workers;
    s->board->start_ns = (uint64_t)spawn_now_ns();
    s->board->work_inode = spawn_sockets_inode(s->sockets.work_fd);
    for (int slot = 0; slot < s->n_slots; slot++)
        if (open_slot(s, slot))
            return -1;
    return open_control(s) || open_crew(s) ? -1 : 0;
}

void spawn_board_close(struct spawn *s)
{
    for (int slot = 0; s->workers && slot < s->n_slots; slot++) {
        fcgi_scoreboard_unmap(s->workers[slot].page);
        if (s->workers[slot].page_fd > 0)
            close(s->workers[slot].page_fd);
    }
    free(s->workers);
    if (s->control.page_fd > 0)
        close(s->control.page_fd);
    fcgi_crew_unmap(s->crew);
    if (s->crew_fd > 0)
        close(s->crew_fd);
    fcgi_scoreboard_unmap(s->board);
    if (s->board_fd > 0)
        close(s->board_fd);
}

void spawn_board_reason(struct spawn *s, const char *reason)
{
    fcgi_shared_put_text(s->board->reason, sizeof s->board->reason, reason);
    s->reason_passes = false;
}

void spawn_board_missing(struct spawn *s, const char *reason)
{
    spawn_board_reason(s, reason);
    s->reason_passes = true;
}

void spawn_board_complete(struct spawn *s)
{
    if (s->reason_passes)
        spawn_board_reason(s, "");
}
