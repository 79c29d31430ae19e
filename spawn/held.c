/* held.c: the worker program and the model that a generation was started with. A respawn takes
 * these and not what lies under their names meanwhile: only a reload may change what serves, and
 * only after the new has proved itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spawn/spawn.h"

int spawn_held_program(const struct spawn *s, const char *name, int *fd,
                       char text[SPAWN_TEXT_BYTES])
{
    char path[SPAWN_PATH_BYTES];

    *fd = -1;
    if (spawn_rundir_path(s->programs, name, path))
        errno = ENAMETOOLONG;
    else
        *fd = open(path, O_PATH | O_CLOEXEC);
    if (*fd >= 0)
        return 0;
    return spawn_refusal(text, "open", path, "whether the package is whole");
}

static struct spawn_held_file look_at(const char *path)
{
    struct stat status;

    if (stat(path, &status))
        return (struct spawn_held_file){0};
    return (struct spawn_held_file){
        .device = status.st_dev,
        .inode = status.st_ino,
        .bytes = status.st_size,
        .modified_ns = status.st_mtim.tv_sec * 1000000000LL + status.st_mtim.tv_nsec,
    };
}

/* A model that cannot be opened is left to the worker, which says so in its own words. */
int spawn_held_open(struct spawn *s, struct spawn_held *held, char text[SPAWN_TEXT_BYTES])
{
    *held = SPAWN_HELD_NONE;
    s->model_tried = look_at(s->config.model);
    int code = spawn_held_program(s, "resnet-fcgi", &held->program_fd, text);
    if (!code)
        held->model_fd = open(s->config.model, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return code;
}

/* A generation that is being started has what lies there now. */
void spawn_held_spoilt(struct spawn *s, int generation)
{
    bool by_reload = s->reload.active && generation == s->reload.generation;

    if (generation == s->generation)
        s->held.spoilt = true;
    if (by_reload || (generation == s->generation && !s->reload.active))
        spawn_reload_ask(s);
}

void spawn_held_failed(struct spawn *s)
{
    struct spawn_held_file now;

    if (!s->held.spoilt || s->reload.active)
        return;
    now = look_at(s->config.model);
    if (now.inode &&
        (now.device != s->model_tried.device || now.inode != s->model_tried.inode ||
         now.bytes != s->model_tried.bytes || now.modified_ns != s->model_tried.modified_ns))
        spawn_reload_ask(s);
}

void spawn_held_close(struct spawn_held *held)
{
    if (held->program_fd >= 0)
        close(held->program_fd);
    if (held->model_fd >= 0)
        close(held->model_fd);
    *held = SPAWN_HELD_NONE;
}
