#!/bin/sh
# build.sh: the Debian package, into build/. The tree is copied, so that packaging leaves nothing in
# it: what git knows where there is git, all but build/ in an unpacked archive.
#   VERSION=1.0.0 COMMIT=abc spawn/deploy/debian/build.sh     (make deb)
set -eu

top=$(cd "$(dirname "$0")/../../.." && pwd)
tree=$top/build/deb/resnet-fcgi-$VERSION
: "${SOURCE_DATE_EPOCH:=$(git -C "$top" log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH

rm -rf "$top/build/deb"
mkdir -p "$tree"
cd "$top"
if git rev-parse --git-dir > /dev/null 2>&1; then
    git ls-files -z --cached --others --exclude-standard
else
    find . -path ./build -prune -o -type f -print0
fi | tar -c --null --files-from=- | tar -x -C "$tree"

cp -r "$tree/spawn/deploy/debian" "$tree/debian"
echo "$COMMIT" > "$tree/debian/commit"
sed -e "s/@VERSION@/$VERSION/" -e "s/@DATE@/$(date -R -u -d "@$SOURCE_DATE_EPOCH")/" \
    "$tree/debian/changelog.in" > "$tree/debian/changelog"
rm "$tree/debian/changelog.in" "$tree/debian/build.sh"

cd "$tree"
DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} parallel=$(nproc)" dpkg-buildpackage -b -us -uc ||
    { echo "make deb: the package could not be built; see above" >&2 && exit 1; }
mv ../*.deb ../*.buildinfo ../*.changes "$top/build/"
rm -rf "$top/build/deb"
ls -l "$top"/build/*.deb
