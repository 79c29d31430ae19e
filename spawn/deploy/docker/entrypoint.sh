#!/bin/sh
# entrypoint.sh: how a container of the image starts. As it is: runs what it is given.
#
# With SLOTS=N, one of up to N replicas behind one nginx: takes the first free directory of /slots/1
# to /slots/N, a volume that all of them and nginx share, and makes RESNET_RUN_DIR a symbolic link to
# it, so that resnet-ctl finds the sockets without knowing. The lock is on standard input, the one
# descriptor that resnet-spawn neither uses nor closes: the kernel releases it with the container's
# first process, however that ends.
set -eu

if [ -n "${SLOTS:-}" ] && [ "${1:-}" = resnet-spawn ]; then
    slot=1
    while :; do
        [ "$slot" -le "$SLOTS" ] || {
            echo "entrypoint.sh: all $SLOTS slots of /slots are taken: expected $SLOTS replicas at most" >&2
            exit 75
        }
        mkdir -p "/slots/$slot"
        : >> "/slots/$slot/slot"
        exec < "/slots/$slot/slot"
        ! flock --nonblock 0 || break
        slot=$((slot + 1))
    done
    ln -sfn "/slots/$slot" "$RESNET_RUN_DIR"
fi
exec "$@"
