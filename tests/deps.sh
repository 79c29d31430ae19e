#!/bin/sh
# deps.sh: looks for what building, the demo and the tests need, and installs what is missing on
# Debian and its children: as root, else through `sudo -n`, else it prints the command and stops.
# Looking takes a few milliseconds, so there is no stamp that could be wrong.
#
#   tests/deps.sh [--print] build|demo|check|deb|full|docker|fuzz|lint|bench|compare ...
#   --print    only say what is missing; exit 1 if anything is
#   --libfcgi  only see that libfcgi, where it is a package, has the fix of CVE-2025-23016
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# set, kind of probe, what to look for, Debian package
list() {
    cat <<'LIST'
build program cc                                  gcc
build program ar                                  binutils
build header  stdlib.h                            libc6-dev
build fcgi    2.4.2-2+deb12u1                     libfcgi-dev
build lib     openblas-serial/libopenblas.a       libopenblas-serial-dev
build header  jpeglib.h                           libjpeg-dev
build header  png.h                               libpng-dev
build header  webp/demux.h                        libwebp-dev
build header  jsmn.h                              libjsmn-dev
build header  zip.h                               libzip-dev
build header  nettle/sha2.h                       nettle-dev
build header  isa-l/crc.h                         libisal-dev
build header  sys/sdt.h                           systemtap-sdt-dev
build header  curl/curl.h                         libcurl4-openssl-dev
build header  seccomp.h                           libseccomp-dev
demo  program nginx                               nginx
demo  program curl                                curl
demo  program setpriv                             util-linux
check program nginx                               nginx
check program curl                                curl
check program python3                             python3
check program spawn-fcgi                          spawn-fcgi
check program multiwatch                          multiwatch
check program strace                              strace
check program valgrind                            valgrind
check program openssl                             openssl
check program wrk                                 wrk
check python  PIL                                 python3-pil
check python  yaml                                python3-yaml
check header  cmocka.h                            libcmocka-dev
full  program chromium                            chromium
full  program promtool                            prometheus
full  program node                                nodejs
full  program npm                                 npm
full  program debootstrap                         debootstrap
full  program lintian                             lintian
full  program logrotate                           logrotate
docker program dockerd                            docker.io
docker program docker-compose                     docker-compose
docker program debootstrap                        debootstrap
full  python  fastapi                             python3-fastapi
full  python  uvicorn                             python3-uvicorn
full  python  multipart                           python3-multipart
deb   program dpkg-buildpackage                   dpkg-dev
deb   program dh                                  debhelper
fuzz  program clang                               clang
fuzz  program llvm-cov                            llvm
fuzz  file    /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a libclang-rt-dev
lint  program clang                               clang
lint  program cppcheck                            cppcheck
lint  program clang-tidy                          clang-tidy
bench program python3                             python3
compare program node                              nodejs
compare program npm                               npm
compare python torch                              python3-torch
compare python torchvision                        python3-torchvision
compare python onnx                               python3-onnx
compare python PIL                                python3-pil
compare python gunicorn                           gunicorn
compare python uvicorn                            python3-uvicorn
compare python fastapi                            python3-fastapi
compare python multipart                          python3-multipart
LIST
}

die() {
    echo "deps.sh: $2" >&2
    exit "$1"
}

# CVE-2025-23016 (a heap overflow while parameters are read) is fixed in Debian's 2.4.2-2+deb12u1
# and, upstream, from 2.4.5 on. Ubuntu patches under version numbers of its own.
fcgi_is_safe() {
    have_header fcgiapp.h || return 1
    command -v dpkg-query >/dev/null || {
        echo "deps.sh: warning: libfcgi must be 2.4.5 or newer (CVE-2025-23016); please check" >&2
        return 0
    }
    version=$(dpkg-query -W -f '${Version}' libfcgi-dev 2>/dev/null) || return 0 # not a package
    dpkg --compare-versions "$version" ge "$1" && return 0
    case $version in
    *ubuntu*)
        echo "deps.sh: warning: libfcgi $version: see that it has the fix of CVE-2025-23016" >&2
        return 0
        ;;
    esac
    return 1
}

have_header() {
    for directory in /usr/include /usr/include/*-linux-gnu* /usr/local/include; do
        [ ! -e "$directory/$1" ] || return 0
    done
    return 1
}

have_lib() {
    for directory in /usr/lib/*-linux-gnu* /usr/lib; do
        [ ! -e "$directory/$1" ] || return 0
    done
    return 1
}

# shellcheck disable=SC2086 # a pattern is meant
have_file() {
    for path in $1; do
        [ ! -e "$path" ] || return 0
    done
    return 1
}

# By its place: to import torch takes seconds.
have_python() {
    for directory in /usr/lib/python3/dist-packages /usr/local/lib/python3*/dist-packages; do
        [ ! -e "$directory/$1" ] || return 0
    done
    return 1
}

have() {
    case $1 in
    python) have_python "$2" ;;
    program) command -v "$2" >/dev/null ;;
    header) have_header "$2" ;;
    lib) have_lib "$2" ;;
    file) have_file "$2" ;;
    fcgi) fcgi_is_safe "$2" ;;
    *) die 64 "unknown kind of probe: $1" ;;
    esac
}

# The packages of the sets $* that are missing, one line.
missing() {
    list | while read -r set kind what package; do
        case " $* " in
        *" $set "*) have "$kind" "$what" || echo "$package" ;;
        esac
    done | sort -u | tr '\n' ' '
}

# A package's daemon (nginx) is not to be started, and a running one not to be touched: that is
# what policy-rc.d is for. One that is already there is somebody else's and stays.
install_as_root='
    set -e
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap "rm -f $policy" EXIT
        printf "#!/bin/sh\nexit 101\n" > $policy
        chmod 755 $policy
    fi
    get() { apt-get -qq -y -o Dpkg::Use-Pty=0 --no-install-recommends install "$@"; }
    get "$@" 2>/dev/null >/dev/null || { apt-get -qq update || true; get "$@" >/dev/null; }'

if [ "${1:-}" = --libfcgi ]; then
    needed=$(list | awk '$2 == "fcgi" { print $3; exit }')
    ! have_header fcgiapp.h || fcgi_is_safe "$needed" ||
        die 1 "libfcgi is older than $needed and has CVE-2025-23016; upgrade it: apt-get install libfcgi-dev"
    exit 0
fi

print=0
[ "${1:-}" != --print ] || { print=1 && shift; }
[ $# -gt 0 ] || die 64 "which set? build, demo, check, deb, full, docker, fuzz, lint, bench, compare"
for set; do
    case $set in
    build | demo | check | deb | full | docker | fuzz | lint | bench | compare) ;;
    *) die 64 "no set '$set'; there are build, demo, check, deb, full, docker, fuzz, lint, bench and compare" ;;
    esac
done

packages=$(missing "$@")
[ -n "$packages" ] || exit 0
echo "missing: $packages"
[ $print -eq 0 ] || exit 1
command -v apt-get >/dev/null ||
    die 75 "there is no apt-get here: please install what these Debian packages hold: $packages"

if [ "$(id -u)" -eq 0 ]; then
    as_root=''
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
else
    echo 'Installing needs root. Please run this, then try again:' >&2
    echo "    sudo apt-get install --no-install-recommends $packages" >&2
    exit 75
fi
echo "installing them with apt-get"
# shellcheck disable=SC2086 # words are meant
$as_root sh -c "$install_as_root" deps.sh $packages ||
    die 75 "apt-get could not install: $packages"

packages=$(missing "$@")
[ -z "$packages" ] || die 75 "installed, and yet not found, or too old (libfcgi: CVE-2025-23016): $packages"
