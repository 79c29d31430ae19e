#!/bin/sh
# fetch.sh: downloads published weights and prints the path of the file.
#
#   weights/fetch.sh [-l LIST] [-n NAME] [-t SECONDS] [CACHE]
#
#   -l LIST     a table like sources.tsv, which is the default: name, URL, SHA-256 (or as much of
#               its beginning as upstream publishes, 8 digits at least), separated by tabs
#   -n NAME     which weights; the default is the first row. Rows called NAME-... have the same
#               weights elsewhere: each is tried when those before it cannot be reached
#   -t SECONDS  how long connecting may take, or next to nothing arrive (default 30)
#   CACHE       where files are kept (default weights/cache)
#
# A file that is in CACHE already, under the last part of its URL, is taken from there. A download
# that broke off goes on where it stopped (FILE.part). Every file's hash is compared, each time.
#
# Exit: 0 the path is on standard output
#       64 usage   65 wrong hash   69 the server has no such file, or failed (404, 5xx)
#       73 the cache cannot be written   74 the transfer broke off; again, and it goes on
#       75 no source can be reached (name, connection, proxy, certificate, time-out)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
list=$here/sources.tsv
name=
seconds=30
tab=$(printf '\t')

say() {
    printf 'fetch.sh: %s\n' "$*" >&2
}

fail() {
    code=$1
    shift
    say "$*"
    exit "$code"
}

usage() {
    say "$*"
    fail 64 "usage: fetch.sh [-l LIST] [-n NAME] [-t SECONDS] [CACHE]"
}

# Rows that may be tried: the first one, or NAME; and its copies elsewhere.
candidates() {
    awk -F '\t' -v name="$name" '
        /^#/ || /^[ \t\r]*$/ || $1 == "name" { next }
        name == "" { name = $1 }
        $1 == name || index($1, name "-") == 1 { print $1 "\t" $2 "\t" $3 }' "$list"
}

sha256() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# Sets sum; true when it begins with the published digits.
hash_is_right() {
    sum=$(sha256 "$1")
    case $sum in
    "$want"*) return 0 ;;
    *) return 1 ;;
    esac
}

# One try, going on where the last one stopped. Sets status (curl's) and http (000: no answer).
transfer() {
    progress=--silent
    [ ! -t 2 ] || progress=--progress-bar
    status=0
    http=$(curl "$progress" --show-error --fail --location --max-redirs 8 \
        --proto =http,https --proto-redir =https \
        --connect-timeout "$seconds" --speed-limit 1024 --speed-time "$seconds" \
        --continue-at - --output "$part" --write-out '%{http_code}' "$url") || status=$?
}

part_bytes() {
    if [ -e "$part" ]; then wc -c < "$part"; else echo 0; fi
}

# Downloads $url into $part. Returns 0, 75 when its host cannot be reached; else exits.
download() {
    fresh=0
    while :; do
        before=$(part_bytes)
        transfer
        case $status:$http in
        *:000 | *:407 | 28:*) return 75 ;;
        33:* | *:416) # the server cannot go on, or not from there; to some curls 416 is success
            [ "$fresh" -eq 0 ] || fail 74 "$url: cannot be read from its beginning"
            fresh=1
            rm -f "$part"
            ;;
        0:*) return 0 ;;
        22:*) fail 69 "$url: the server answered $http; expected the file, and no other is taken" ;;
        23:*) fail 73 "$part: cannot be written; is the disk full?" ;;
        *)
            [ "$(part_bytes)" -gt "$before" ] ||
                fail 74 "$url: broke off after $before bytes (curl: $status); run it again to go on"
            say "broke off after $(part_bytes) bytes; going on"
            ;;
        esac
    done
}

# $file from the cache or the network. Returns 0, or 75 as above.
get() {
    part=$file.part
    if [ -e "$file" ]; then
        hash_is_right "$file" || fail 65 "$file: expected a SHA-256 that begins $want," \
            "found $sum; it is not what $url should be: remove it, and it is fetched anew"
        return 0
    fi
    if [ ! -e "$part" ] || ! hash_is_right "$part"; then
        say "fetching $url"
        download || return 75
    fi
    if ! hash_is_right "$part"; then
        rm -f "$part"
        fail 65 "$url: expected a SHA-256 that begins $want, found $sum;" \
            "what came is not the published file (a proxy's page?) and has been removed"
    fi
    mv "$part" "$file"
}

while getopts l:n:t: option 2>/dev/null; do
    case $option in
    l) list=$OPTARG ;;
    n) name=$OPTARG ;;
    t) seconds=$OPTARG ;;
    *) usage "unknown option" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || usage "expected one directory, found $#"
case $seconds in
'' | *[!0-9]* | 0) usage "-t $seconds: expected whole seconds, 1 or more" ;;
esac
cache=${1:-$here/cache}

[ -r "$list" ] || fail 64 "$list: cannot be read"
rows=$(candidates)
[ -n "$rows" ] || fail 64 "$list: no row with the name ${name:-(any)}"
command -v curl >/dev/null || fail 69 "curl is not installed: apt-get install curl"
mkdir -p "$cache" 2>/dev/null || fail 73 "$cache: cannot be made"
[ -w "$cache" ] || fail 73 "$cache: cannot be written"

# Two at once would write one .part; where there is no flock, the hash finds out.
if command -v flock >/dev/null; then
    exec 9> "$cache/.lock"
    flock 9
fi

while IFS=$tab read -r row url want; do
    case $want in
    *[!0-9a-f]* | '' | ? | ?? | ??? | ???? | ????? | ?????? | ???????)
        fail 64 "$list: $row: expected 8 or more lower-case hexadecimal digits of a SHA-256," \
            "found \"$want\""
        ;;
    esac
    file=$cache/${url##*/}
    code=0
    get || code=$?
    if [ "$code" -eq 0 ]; then
        say "SHA-256 $sum begins with the published $want"
        printf '%s\n' "$file"
        exit 0
    fi
    say "$url: cannot be reached (curl: $status)"
done <<EOF
$rows
EOF
fail 75 "no source can be reached"
