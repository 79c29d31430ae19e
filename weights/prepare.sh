#!/bin/sh
# prepare.sh: the model file that a service is to run, from the first source there is, and prints
# its path: WEIGHTS; else what fetch.sh finds in its cache or downloads; else, where no source can be
# reached, a synthetic model, with a warning that cannot be missed.
#
#   weights/prepare.sh [-b BIN] [-c CACHE] [-p PRECISIONS] -o MODEL [WEIGHTS]
#
#   -o MODEL       where the model file goes. It is packed again only when its source is another one,
#                  or when resnet-pack reads the old file no more; it is replaced whole or not at all
#   -b BIN         directory of resnet-pack (default: found in PATH)
#   -c CACHE       where downloads are kept (default: fetch.sh's)
#   -p PRECISIONS  resnet-pack's --precision (default: its own)
#   WEIGHTS        .safetensors or .pth; or a .rnm, which is used where it lies
#
# Exit: 0, 64 usage, or what fetch.sh and resnet-pack exit with; a wrong hash is never passed over.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin='' cache='' model='' precisions=''

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "prepare.sh: $2"
    exit "$1"
}

synthetic_warning() {
    cat >&2 <<'WARNING'

  ********************************************************************************
  *                                                                              *
  *   WARNING: no weights, and none could be downloaded.                         *
  *   A SYNTHETIC model of random numbers is used. It runs as fast as the real   *
  *   one, and its answers mean NOTHING.                                         *
  *                                                                              *
  *   With real weights:  WEIGHTS=resnet50.pth               (or .safetensors)   *
  *                                                                              *
  ********************************************************************************

WARNING
}

# pack SOURCE COMMAND...: what made the model is beside it, in MODEL.from.
pack() {
    source=$1
    shift
    [ -z "$precisions" ] || set -- "$@" --precision "$precisions"
    stamp=$(printf '%s\n' "$@")
    [ -z "$source" ] || stamp="$stamp $(stat -L -c '%n %s %Y' "$source")"
    if [ -e "$model" ] && [ "$(cat "$model.from" 2>/dev/null)" = "$stamp" ] &&
        "${bin}resnet-pack" info "$model" >/dev/null 2>&1; then
        say "model    $model (packed before)"
        return
    fi
    say "model    packing $model"
    "${bin}resnet-pack" "$@" -o "$model" >&2
    printf '%s\n' "$stamp" > "$model.from"
}

while getopts b:c:o:p: option 2>/dev/null; do
    case $option in
    b) bin=$OPTARG/ ;;
    c) cache=$OPTARG ;;
    o) model=$OPTARG ;;
    p) precisions=$OPTARG ;;
    *) fail 64 "usage: prepare.sh [-b BIN] [-c CACHE] [-p PRECISIONS] -o MODEL [WEIGHTS]" ;;
    esac
done
shift $((OPTIND - 1))
[ -n "$model" ] || fail 64 "-o MODEL is missing: where the model file goes"
[ $# -le 1 ] || fail 64 "expected one file of weights, found $#"
weights=${1:-}
mkdir -p "$(dirname "$model")"

if [ -z "$weights" ]; then
    status=0
    weights=$("$here/fetch.sh" ${cache:+"$cache"}) || status=$?
    case $status in
    0) ;;
    75) synthetic_warning ;;
    *) fail "$status" "the weights could not be had; see above" ;;
    esac
fi
case $weights in
*.rnm) model=$weights ;;
'') pack '' random --seed 1 ;;
*)
    say "weights  $weights"
    pack "$weights" pack "$weights"
    ;;
esac
printf '%s\n' "$model"
