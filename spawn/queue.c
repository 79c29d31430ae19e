/* queue.c: how many connections wait on a listening unix socket. Only sock_diag tells, without
 * privilege and without taking any of them; a sandbox may forbid it. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "spawn/spawn.h"

struct question {
    struct nlmsghdr header;
    struct unix_diag_req request;
};

/* The attribute's place in the answer depends on the kernel: walk, within what was received. */
static int find_depth(const struct nlmsghdr *header, size_t n)
{
    const struct unix_diag_msg *message = NLMSG_DATA(header);

    if (!NLMSG_OK(header, n) || header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return -1;
    int left = (int)header->nlmsg_len - (int)NLMSG_LENGTH(sizeof *message);
    const struct rtattr *at = (const struct rtattr *)(const void *)(message + 1);
    for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        struct unix_diag_rqlen length;
        if (at->rta_type != UNIX_DIAG_RQLEN || RTA_PAYLOAD(at) < sizeof length)
            continue;
        memcpy(&length, RTA_DATA(at), sizeof length);
        return (int)length.udiag_rqueue;
    }
    return -1;
}

int spawn_queue_open(void)
{
    return socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

int spawn_queue_ask(int fd, uint64_t inode)
{
    struct question question = {
        .header = {.nlmsg_len = sizeof question,
                   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                   .nlmsg_flags = NLM_F_REQUEST},
        .request = {.sdiag_family = AF_UNIX,
                    .udiag_states = UINT32_MAX,
                    .udiag_ino = (uint32_t)inode,
                    .udiag_show = UDIAG_SHOW_RQLEN,
                    .udiag_cookie = {UINT32_MAX, UINT32_MAX}},
    };
    union {
        struct nlmsghdr header;
        char bytes[1024];
    } answer;

    ssize_t n;

    while (recv(fd, &answer, sizeof answer, MSG_DONTWAIT) > 0)
        continue; /* of a question whose answer came late */
    if (send(fd, &question, sizeof question, 0) != sizeof question)
        return -1;
    n = recv(fd, &answer, sizeof answer, MSG_DONTWAIT); /* the kernel answers in send() */
    return n < (ssize_t)sizeof answer.header ? -1 : find_depth(&answer.header, (size_t)n);
}

int spawn_queue_depth(uint64_t inode)
{
    int fd = spawn_queue_open();

    if (fd < 0)
        return -1;
    int depth = spawn_queue_ask(fd, inode);
    close(fd);
    return depth;
}
