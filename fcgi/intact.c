/* intact.c: the model file, looked at again. */
#include "fcgi/intact.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fcgi/config.h"
#include "fcgi/log.h"

/* fstat() of newer libcs is newfstatat(), which takes paths, too: nothing for a sandbox. */
static int look(int fd, struct stat *status)
{
    return (int)syscall(SYS_fstat, fd, status);
}

void fcgi_intact_open(struct fcgi_intact *intact, int fd, const char *path)
{
    struct stat status;

    if (fd < 0)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    *intact = (struct fcgi_intact){.fd = fd, .path = path};
    if (fd < 0 || look(fd, &status))
        return;
    intact->bytes = status.st_size;
    intact->modified = status.st_mtim;
}

void fcgi_intact_close(struct fcgi_intact *intact)
{
    if (intact->fd >= 0)
        close(intact->fd);
    intact->fd = -1;
}

int fcgi_intact_holds(const struct fcgi_intact *intact)
{
    struct stat status;

    return intact->fd < 0 || look(intact->fd, &status) ||
           (status.st_size == intact->bytes && status.st_mtim.tv_sec == intact->modified.tv_sec &&
            status.st_mtim.tv_nsec == intact->modified.tv_nsec);
}

_Noreturn void fcgi_intact_leave(const struct fcgi_intact *intact,
                                 const struct fcgi_board_worker *board)
{
    const char *how = "written to";
    struct fcgi_board_request request;
    struct stat status;

    if (!fcgi_scoreboard_request(board, &request))
        memset(&request, 0, sizeof request);
    if (look(intact->fd, &status))
        memset(&status, 0, sizeof status);
    if (fcgi_intact_holds(intact))
        how = "not readable any more";
    else if (status.st_size < intact->bytes)
        how = "cut off";
    fcgi_log(FCGI_LOG_ERROR, "model_changed",
             "request_id=%s nginx_id=%s path=%s was=%lld is=%lld how=%s reason=%s",
             request.request_id, request.nginx_id, intact->path, (long long)intact->bytes,
             (long long)status.st_size, how,
             "the model file has been changed in place since it was loaded; what is computed from "
             "it is not to be believed");
    _exit(FCGI_EXIT_MODEL);
}
