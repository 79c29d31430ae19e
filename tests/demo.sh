#!/bin/sh
# demo.sh: weights -> model -> resnet-spawn + nginx on 127.0.0.1:PORT -> one picture classified ->
# in the foreground until Ctrl-C or SIGTERM, when it drains. `make demo` has built everything.
#   PORT=8080  WEIGHTS=FILE  IMAGE=FILE  WORKERS=N  and any RESNET_* (resnet-spawn --help)
# Exit: 0 drained, 64 usage, 75 try later (port taken), else something failed.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

top=$(cd "$(dirname "$0")/.." && pwd)
bin=$top/${BUILD:-build}/bin
made=$top/${BUILD:-build}/demo # the model, kept between two demos
port=${PORT:-8080}
weights=${WEIGHTS:-${RESNET_WEIGHTS:-}}
image=${IMAGE:-$top/tests/fixtures/demo.jpg}
url=http://127.0.0.1:$port

dir='' spawn_pid='' nginx_pid='' stopping=0

say() { printf '%s\n' "$*"; }

fail() {
    printf 'demo: %s\n' "$2" >&2
    exit "$1"
}

# ---- before anything is started ------------------------------------------------------------------

check_arguments() {
    case $port in
    '' | *[!0-9]*) fail 64 "PORT=$port: a number of 1 to 65534 was expected" ;;
    esac
    { [ "$port" -ge 1 ] && [ "$port" -le 65534 ]; } ||
        fail 64 "PORT=$port: a number of 1 to 65534 was expected"
    [ -r "$image" ] || fail 64 "IMAGE=$image cannot be read"
    [ -z "$weights" ] || [ -r "$weights" ] || fail 64 "WEIGHTS=$weights cannot be read"
    for number in "$port" $((port + 1)); do
        if curl -s --noproxy '*' --max-time 2 -o /dev/null "http://127.0.0.1:$number/" ||
            [ $? -ne 7 ]; then # 7: nobody listens
            fail 75 "port $number is taken; choose another (and the one after it): make demo PORT=$((port + 1000))"
        fi
    done
}

# ---- one unprivileged user -----------------------------------------------------------------------

# Root has no business here: nobody has. Where nobody cannot read the tree (a clone in a private
# home directory), it gets copies.
as_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs -- "$@"
    else
        "$@"
    fi
}

make_directory() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/resnet-demo.XXXXXX")
    mkdir "$dir/run"
    nginx_dir=$top/nginx
    [ "$(id -u)" -eq 0 ] || return 0
    if ! as_user test -x "$bin/resnet-spawn" || ! as_user test -r "$nginx_dir/html/index.html"; then
        cp -r "$bin" "$nginx_dir" "$dir"
        bin=$dir/bin
        nginx_dir=$dir/nginx
    fi
    if ! as_user test -r "$model"; then
        cp --reflink=auto "$model" "$dir/model.rnm"
        model=$dir/model.rnm
    fi
    chown -R nobody:nogroup "$dir"
    chmod 755 "$dir"
}

# ---- start, ask, wait, stop ----------------------------------------------------------------------

# In a session of their own: Ctrl-C is for this script, which drains them in the right order.
start() {
    export RESNET_RUN_DIR="$dir/run" RESNET_MODEL="$model"
    [ -z "${WORKERS:-}" ] || export RESNET_WORKERS="$WORKERS"
    as_user "$nginx_dir/render.sh" -d "$dir" -p "$port"
    if [ "$(id -u)" -eq 0 ]; then
        set -- --reuid nobody --regid nogroup --clear-groups
    else
        set --
    fi
    setsid setpriv "$@" --no-new-privs --pdeathsig TERM -- "$bin/resnet-spawn" \
        > "$dir/spawn.log" 2>&1 < /dev/null &
    spawn_pid=$!
    setsid setpriv "$@" --no-new-privs --pdeathsig TERM -- \
        nginx -p "$dir" -c "$dir/nginx.conf" -g 'daemon off;' > "$dir/nginx.log" 2>&1 < /dev/null &
    nginx_pid=$!
}

alive() { kill -0 "$1" 2>/dev/null; }

await_readiness() {
    tries=0
    while ! curl -fs --noproxy '*' --max-time 5 -o /dev/null "$url/health/ready"; do
        [ $stopping -eq 0 ] || return 0
        alive "$nginx_pid" || { cat "$dir/nginx.log" >&2 && fail 1 "nginx ended"; }
        alive "$spawn_pid" || { tail -n 20 "$dir/spawn.log" >&2 && fail 1 "resnet-spawn ended"; }
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { tail -n 20 "$dir/spawn.log" >&2 && fail 1 "not ready in two minutes"; }
        sleep 0.1 || true
    done
}

classify() {
    say
    say "\$ curl --data-binary @$image '$url/predict?top_k=5'"
    status=$(curl -sS --noproxy '*' -o "$dir/answer.json" -w '%{http_code}' \
        --data-binary "@$image" -H 'Content-Type: image/jpeg' "$url/predict?top_k=5") ||
        fail 1 "no answer"
    cat "$dir/answer.json"
    [ "$status" = 200 ] || fail 1 "the answer's status is $status"
}

# nginx leaves first: it finishes what it has, while somebody is there to answer.
drain() {
    code=0
    [ -z "$nginx_pid" ] || kill -QUIT "$nginx_pid" 2>/dev/null || true
    ended "$nginx_pid" || code=1
    [ -z "$spawn_pid" ] || kill -TERM "$spawn_pid" 2>/dev/null || true
    ended "$spawn_pid" || code=1
    nginx_pid='' spawn_pid=''
    return $code
}

# Waits for a child to its very end, whatever signal comes meanwhile.
ended() {
    [ -n "$1" ] || return 0
    while :; do
        result=0
        wait "$1" || result=$?
        alive "$1" || return $result
    done
}

# A second Ctrl-C does not wait for anybody.
interrupted() {
    stopping=$((stopping + 1))
    [ $stopping -lt 2 ] || kill -INT "$nginx_pid" "$spawn_pid" 2>/dev/null || true
}

clean_up() {
    status=$?
    trap '' INT TERM HUP
    [ -z "$spawn_pid$nginx_pid" ] || drain || true
    [ -z "$dir" ] || rm -rf "$dir"
    exit $status
}

trap clean_up EXIT
trap interrupted INT TERM HUP
check_arguments
model=$("$top/weights/prepare.sh" -b "$bin" -o "$made/resnet50.rnm" ${weights:+"$weights"})
make_directory
start
await_readiness
if [ $stopping -eq 0 ]; then
    classify
    say
    say "page     $url/"
    say "health   $url/health      operators: http://127.0.0.1:$((port + 1))/status"
    say "logs     $dir/spawn.log  $dir/access.log"
    say "Ctrl-C drains and stops"
fi
while [ $stopping -eq 0 ]; do
    alive "$spawn_pid" || { tail -n 20 "$dir/spawn.log" >&2 && fail 1 "resnet-spawn ended by itself"; }
    alive "$nginx_pid" || { tail -n 20 "$dir/nginx.log" >&2 && fail 1 "nginx ended by itself"; }
    sleep 0.5 || true # a signal to the whole group ends it, too
done
say "draining"
drain || fail 1 "not everything ended with 0; the logs were in $dir"
say "drained"
