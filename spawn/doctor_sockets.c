/* doctor_sockets.c: nginx can connect, and nobody else. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "spawn/doctor.h"
#include "spawn/spawn.h"

/* Whether these permission bits (of `others`: 2 to write, 1 to search) are given to somebody. */
static bool may(const struct spawn_identity *who, const struct stat *status, unsigned bits)
{
    if (who->uid == 0)
        return true;
    if (who->uid == status->st_uid)
        return (status->st_mode >> 6 & bits) == bits;
    for (int i = 0; i < who->n_groups; i++)
        if (who->groups[i] == status->st_gid)
            return (status->st_mode >> 3 & bits) == bits;
    return (status->st_mode & bits) == bits;
}

/* The folder above the socket that is closed to `who`; false: none. */
static bool is_closed_above(const struct spawn_identity *who, const char *path, char *folder,
                            size_t size)
{
    struct stat status;

    for (const char *at = path; (at = strchr(at, '/')); at++) {
        snprintf(folder, size, "%.*s", at == path ? 1 : (int)(at - path), path);
        if (!stat(folder, &status) && !may(who, &status, 1))
            return true;
    }
    return false;
}

static void name_user(uid_t uid, char name[64])
{
    const struct passwd *user = getpwuid(uid);

    if (user)
        snprintf(name, 64, "%.48s", user->pw_name);
    else
        snprintf(name, 64, "uid %u", (unsigned)uid);
}

static void name_group(gid_t gid, char name[64])
{
    const struct group *group = getgrgid(gid);

    if (group)
        snprintf(name, 64, "%.48s", group->gr_name);
    else
        snprintf(name, 64, "gid %u", (unsigned)gid);
}

static void check_access(struct spawn_doctor *doctor, const char *check, const char *path,
                         const struct stat *status)
{
    char user[64], group[64], folder[SPAWN_PATH_BYTES], remedy[512];

    name_group(status->st_gid, group);
    if (!doctor->knows_nginx_user) {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, check, NULL, "%04o, group %s",
                         status->st_mode & 07777, group);
        return;
    }
    name_user(doctor->nginx_user.uid, user);
    if (is_closed_above(&doctor->nginx_user, path, folder, sizeof folder)) {
        snprintf(remedy, sizeof remedy, "let %s through: chmod o+x %.300s", user, folder);
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, check, remedy,
                         "nginx (%s) cannot reach it: %.300s is closed", user, folder);
    } else if (!may(&doctor->nginx_user, status, 2)) {
        snprintf(remedy, sizeof remedy,
                 "add %s to the group %s (usermod -aG) and restart nginx, or let resnet-spawn run "
                 "with nginx's group",
                 user, group);
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, check, remedy,
                         "nginx (%s) may not connect: %04o, group %s", user,
                         status->st_mode & 07777, group);
    } else {
        spawn_doctor_say(doctor, SPAWN_DOCTOR_OK, check, NULL,
                         "%04o, group %s; nginx (%s) may connect", status->st_mode & 07777, group,
                         user);
    }
}

static void check_socket(struct spawn_doctor *doctor, const char *name)
{
    char path[SPAWN_PATH_BYTES];
    struct stat status;

    if (spawn_rundir_path(doctor->config.run_dir, name, path))
        return;
    if (stat(path, &status))
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, name,
                         "resnet-ctl reload does not bring it back: restart resnet-spawn",
                         "%.300s: %s", path, strerror(errno));
    else if (!S_ISSOCK(status.st_mode))
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, name, "remove it and restart resnet-spawn",
                         "%.300s is no socket", path);
    else if (status.st_mode & S_IWOTH)
        spawn_doctor_say(doctor, SPAWN_DOCTOR_FAIL, name,
                         "chmod 0660; and see who may enter its directory",
                         "%04o: everybody on this machine may connect, and FastCGI trusts its peer",
                         status.st_mode & 07777);
    else
        check_access(doctor, name, path, &status);
}

void spawn_doctor_sockets(struct spawn_doctor *doctor)
{
    static const char *const names[] = {"work.sock", "shed.sock", "ctl.sock"};

    if (!doctor->supervisor)
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_socket(doctor, names[i]);
}
