#!/bin/sh
# bake.sh MODEL: the model that an image is built with (Dockerfile: MODEL). Unlike prepare.sh it makes
# no synthetic model where no source can be reached: an image that means nothing is no image to push.
set -eu

share=/usr/share/resnet-fcgi/weights
model=/var/lib/resnet-fcgi/resnet50.rnm
source=/source/$(basename "$1")

case $1 in
none) ;;
synthetic) resnet-pack random --seed 1 -o "$model" ;;
fetch)
    weights=$("$share/fetch.sh" /tmp/weights)
    resnet-pack pack "$weights" -o "$model"
    rm -r /tmp/weights
    ;;
*)
    [ -f "$source" ] || {
        echo "bake.sh: MODEL=$1: expected none, fetch, synthetic or a file of the folder that the image is built from" >&2
        exit 66
    }
    if resnet-pack info "$source" > /dev/null 2>&1; then
        cp "$source" "$model"
    else
        resnet-pack pack "$source" -o "$model"
    fi
    ;;
esac
