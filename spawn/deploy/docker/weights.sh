#!/bin/sh
# weights.sh: compose's one-shot service: the volume at /var/lib/resnet-fcgi gets its model file, from
# /weights where something is mounted there (compose: RESNET_WEIGHTS), else by prepare.sh's way: what
# was downloaded before, a download, or, where no source can be reached, a synthetic model.
# RESNET_PRECISION is packed beside fp32.
set -eu

state=/var/lib/resnet-fcgi
model=$state/resnet50.rnm
umask 022

if [ -f /weights ] && resnet-pack info /weights > /dev/null 2>&1; then
    cp /weights "$state/.new"
    mv "$state/.new" "$model"
    rm -f "$model.from"
    echo "model    $model (packed already)" >&2
    exit 0
fi
set -- -c "$state/weights" -o "$model"
case ${RESNET_PRECISION:-fp32} in
fp32) ;;
*) set -- "$@" -p "fp32,$RESNET_PRECISION" ;;
esac
[ ! -f /weights ] || set -- "$@" /weights
exec /usr/share/resnet-fcgi/weights/prepare.sh "$@"
