#!/bin/sh
# render.sh: a whole nginx configuration in one directory, for a user without any privilege. The
# demo and the tests run what this writes; the package and the stock image fill in the very same
# template with the very same 15-resnet.envsh.
set -eu

usage() {
    cat <<'USAGE'
usage: nginx/render.sh -d DIR [-p PORT] [-a ADDRESS] [-w WORKERS]
Writes DIR/nginx.conf and DIR/conf.d/resnet.conf; nginx -p DIR -c DIR/nginx.conf then keeps its pid,
logs and temporary files inside DIR, and listens on ADDRESS:PORT (127.0.0.1:8080) and, for
metrics and the full status, on 127.0.0.1:PORT+1.
  RESNET_RUN_DIR          where the sockets are (DIR/run)
  RESNET_REQUEST_TIMEOUT  RESNET_MAX_BODY  RESNET_RATE_LIMIT  as for resnet-spawn
  NGINX_SLOTS             replicas: sockets in RESNET_RUN_DIR/1, /2 and so on (0: none)
  NGINX_CORS_ORIGIN       pages that may read answers: *, or origins between blanks (none)
  RESNET_DRAIN_TIMEOUT    how long an old nginx process may finish its requests (request time-out
                          + 20 s)
USAGE
}

fail() {
    echo "render.sh: $2" >&2
    exit "$1"
}

dir='' port=8080 address=127.0.0.1 workers=1
while getopts a:d:hp:w: option; do
    case $option in
    a) address=$OPTARG ;;
    d) dir=$OPTARG ;;
    h) usage && exit 0 ;;
    p) port=$OPTARG ;;
    w) workers=$OPTARG ;;
    *) usage >&2 && exit 64 ;;
    esac
done
[ -n "$dir" ] || fail 64 "-d DIR is missing: where to write to"
case $port in
'' | *[!0-9]*) fail 64 "-p $port: a port number was expected" ;;
esac
[ "$port" -ge 1 ] && [ "$port" -le 65534 ] || fail 64 "-p $port: a port of 1 to 65534 was expected"

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir/conf.d" "$dir/tmp"
dir=$(cd "$dir" && pwd)
: "${RESNET_RUN_DIR:=$dir/run}"
: "${NGINX_PAGE_DIR:=$here/html}"
: "${NGINX_LISTEN:=$address:$port}"
: "${NGINX_INTERNAL_LISTEN:=127.0.0.1:$((port + 1))}"
: "${NGINX_ACCESS_LOG:=$dir/access.log}"
case $dir$RESNET_RUN_DIR$NGINX_PAGE_DIR in
*[!A-Za-z0-9._/+@%~:,-]*) fail 78 "a path in '$dir $RESNET_RUN_DIR $NGINX_PAGE_DIR' has a character that nginx's configuration cannot carry" ;;
esac
PATH=$PATH:/usr/sbin:/usr/local/sbin

. "$here/15-resnet.envsh"

# What envsubst does, but a name that nobody has set is an error.
awk '{
    out = ""
    while (match($0, /[$][{][A-Z_]+[}]/)) {
        name = substr($0, RSTART + 2, RLENGTH - 3)
        if (!(name in ENVIRON)) {
            print "render.sh: " FILENAME ":" FNR ": ${" name "} is not set" > "/dev/stderr"
            exit 78
        }
        out = out substr($0, 1, RSTART - 1) ENVIRON[name]
        $0 = substr($0, RSTART + RLENGTH)
    }
    print out $0
}' "$here/templates/resnet.conf.template" > "$dir/conf.d/resnet.conf"

if [ -n "${RESNET_DRAIN_TIMEOUT:-}" ]; then
    drain_ms=$(resnet_number duration "$RESNET_DRAIN_TIMEOUT")
    [ "${drain_ms:-0}" -gt 0 ] || fail 78 "RESNET_DRAIN_TIMEOUT=$RESNET_DRAIN_TIMEOUT is no duration"
else
    drain_ms=$((${RESNET_READ_TIMEOUT%ms} + 10000))
fi

# nginx refuses to run its workers as root by default, and cannot change user without being root.
user=''
[ "$(id -u)" -ne 0 ] || user="user $(id -un) $(id -gn);"

cat > "$dir/nginx.conf" <<CONF
$user
worker_processes $workers;
worker_shutdown_timeout ${drain_ms}ms;
pid $dir/nginx.pid;
error_log $dir/error.log notice;

events {
    worker_connections 1024;
}

http {
    types {
        text/html               html;
        text/css                css;
        application/javascript  js;
        application/json        json;
        image/svg+xml           svg;
    }
    charset utf-8;
    charset_types text/css application/javascript;
    client_body_temp_path $dir/tmp/body;
    fastcgi_temp_path $dir/tmp/fastcgi;
    proxy_temp_path $dir/tmp/proxy;
    scgi_temp_path $dir/tmp/scgi;
    uwsgi_temp_path $dir/tmp/uwsgi;
    include $dir/conf.d/*.conf;
}
CONF
