/* privileges.c: what the supervisor, and all that it starts, can do without: capabilities. All that
 * needs any, if anything does, has been opened before. A filter it cannot have: that would survive
 * exec, and a worker has files to open before its own. */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spawn/spawn.h"

/* For root: with the bounding set empty, exec gives none back. What is refused here is not there to
 * be given up either. */
void spawn_privileges_drop(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    syscall(SYS_capset, &header, none);
}
