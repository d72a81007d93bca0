#!/bin/sh
# Finds or installs what the comparison with real etcd needs, under bin/reference/ (not committed):
#   etcd, etcdctl, etcdutl   built with Go from the versions that test/go.mod pins
#   etcdctl-3.4              from Debian's etcd-client package, unpacked there so that it shadows nothing
#   libfaketimeMT.so.1       from Debian's libfaketime, unpacked there: clocks that tests move
# and installs from Debian where they are missing:
#   h2load                   the unary load generator of the benches
#   ip, nft                  what tests of partitions make their network with
#   cc                       what tests of stalling disks compile their library with
#   openssl, curl            clients of the tests of TLS; openssl makes an example's certificates, too
# Quick when everything is there. Exit codes: 0 all there; 3 no Go, so that nothing can be compared;
# 4 only an optional tool (etcdctl-3.4, libfaketime or one from Debian) is missing, named on stderr; others are failures.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
reference="$root/bin/reference"
optional_missing=0

say() { echo "setup-reference: $*" >&2; }

# Runs a command as root when we are not root and sudo needs no password.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# A tool of etcd is rebuilt when test/go.sum is newer than its binary.
build_reference() {
  name=$1 package=$2
  if [ -x "$reference/$name" ] && [ ! "$root/test/go.sum" -nt "$reference/$name" ]; then return; fi
  say "building $name"
  (cd "$root/test" && go build -trimpath -ldflags '-s -w' -o "$reference/$name" "$package")
  touch "$reference/$name"
}

# Puts one file of a Debian package into bin/reference, executable.
unpack_debian() {
  package=$1 file=$2 name=$3
  if [ -x "$reference/$name" ]; then return; fi
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  say "unpacking $name from Debian's $package"
  work=$(mktemp -d)
  # apt drops to its own user for downloads and needs to write here.
  chmod 755 "$work"
  if (cd "$work" && { apt-get download -q "$package" || { as_root apt-get update -q && apt-get download -q "$package"; }; }) >&2 \
    && dpkg-deb -x "$work/$package"_*.deb "$work/unpacked"; then
    # The file may be in a directory that is named after the architecture.
    find "$work/unpacked" -path "*/$file" -exec install -m 755 {} "$reference/$name" ';'
  fi
  rm -rf "$work"
  [ -x "$reference/$name" ]
}

# install_tool COMMAND PACKAGE
install_tool() {
  if command -v "$1" >/dev/null; then return; fi
  command -v apt-get >/dev/null || return 1
  say "installing $2 for $1"
  { as_root apt-get install -y -q "$2" || { as_root apt-get update -q && as_root apt-get install -y -q "$2"; }; } >&2
  command -v "$1" >/dev/null
}

if ! command -v go >/dev/null; then
  say "Go is not installed: nothing can be compared with real etcd (https://go.dev/doc/install)"
  exit 3
fi
mkdir -p "$reference"
build_reference etcd go.etcd.io/etcd/server/v3
build_reference etcdctl go.etcd.io/etcd/etcdctl/v3
build_reference etcdutl go.etcd.io/etcd/etcdutl/v3
if ! unpack_debian etcd-client usr/bin/etcdctl etcdctl-3.4; then say "etcdctl 3.4 could not be installed"; optional_missing=1; fi
if ! unpack_debian libfaketime faketime/libfaketimeMT.so.1 libfaketimeMT.so.1; then say "libfaketime could not be installed"; optional_missing=1; fi
for needed in h2load:nghttp2-client ip:iproute2 nft:nftables cc:gcc openssl:openssl curl:curl; do
  tool=${needed%%:*}
  if ! install_tool "$tool" "${needed##*:}"; then say "$tool could not be installed"; optional_missing=1; fi
done
[ "$optional_missing" = 0 ] || exit 4
