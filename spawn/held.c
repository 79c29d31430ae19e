/* held.c: the worker program and the model that a generation was started with. A respawn takes
 * these and not what lies under their names meanwhile: only a reload may change what serves, and
 * only after the new has proved itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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

/* A model that cannot be opened is left to the worker, which says so in its own words. */
int spawn_held_open(const struct spawn *s, struct spawn_held *held, char text[SPAWN_TEXT_BYTES])
{
    *held = SPAWN_HELD_NONE;
    int code = spawn_held_program(s, "resnet-fcgi", &held->program_fd, text);
    if (!code)
        held->model_fd = open(s->config.model, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return code;
}

void spawn_held_close(struct spawn_held *held)
{
    if (held->program_fd >= 0)
        close(held->program_fd);
    if (held->model_fd >= 0)
        close(held->model_fd);
    *held = SPAWN_HELD_NONE;
}
