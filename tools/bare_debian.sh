#!/bin/sh
# tools/bare_debian.sh FOLDER [MIRROR]: does a stranger's machine get from clone to tested?
#
# Makes the smallest Debian 12 in FOLDER (debootstrap, root needed; kept for the next time in
# FOLDER/base), adds git and nothing else, clones the committed HEAD of this checkout into it, and
# runs: set-up without a network (must fail with one sentence), demo, test, and both again (must
# install nothing). apt's sources and settings are this machine's. Uses a throw-away copy of the
# base per run. Exit code 0 if everything held.
# shellcheck disable=SC2016,SC2034 # check() evaluates its second argument
set -eu

[ $# -ge 1 ] || { echo "usage: tools/bare_debian.sh FOLDER [MIRROR]" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "bare_debian: chroot needs root" >&2; exit 1; }
here=$(cd "$(dirname "$0")/.." && pwd)
base=$1/base
root=$1/root
shift

apt_settings() {
    rm -rf "$1/etc/apt/sources.list" "$1/etc/apt/sources.list.d"
    for f in sources.list sources.list.d apt.conf apt.conf.d auth.conf.d trusted.gpg.d; do
        [ ! -e "/etc/apt/$f" ] || cp -a "/etc/apt/$f" "$1/etc/apt/"
    done
    mkdir -p "$1/usr/share/keyrings"
    cp -a /usr/share/keyrings/debian-* "$1/usr/share/keyrings/" 2>/dev/null || true
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
}

if [ ! -e "$base/.complete" ]; then
    rm -rf "$base"
    debootstrap --variant=minbase bookworm "$base" "$@"
    apt_settings "$base"
    chroot "$base" apt-get update
    chroot "$base" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends git ca-certificates
    rm -rf "$base"/var/lib/apt/lists/*
    touch "$base/.complete"
fi

unmount() {
    umount "$root/proc" 2>/dev/null || true
}
trap unmount EXIT
unmount
rm -rf "$root"
cp -a "$base" "$root"
mount -t proc proc "$root/proc"
for node in null zero urandom random tty; do
    [ -e "$root/dev/$node" ] || cp -a "/dev/$node" "$root/dev/"
done
rm -rf "$root/opt/bundle"
git -C "$here" bundle create -q "$root/opt/bundle" HEAD

# in_root COMMAND: as a new login would see it
in_root() {
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TERM=dumb sh -c "$1"
}

check() {
    if eval "$2"; then echo "ok      $1"; else
        echo "FAILED  $1"
        exit 1
    fi
}

in_root 'git clone -q /opt/bundle /opt/filigree'

echo "==== without a network"
code=0
unshare -n chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    sh -c 'cd /opt/filigree && ./run test' >"$root/opt/offline" 2>"$root/opt/offline.err" || code=$?
cat "$root/opt/offline" "$root/opt/offline.err"
check "exit code 1" '[ "$code" = 1 ]'
check "one sentence" '[ "$(wc -l <"$root/opt/offline.err")" = 1 ]'
check "it names the network" 'grep -q "network" "$root/opt/offline.err"'

echo "==== first time"
in_root 'cd /opt/filigree && ./run demo'
in_root 'cd /opt/filigree && ./run test' | tee "$root/opt/test"
check "tests were counted" \
    'tail -n 1 "$root/opt/test" | grep -Eq "^[0-9]+ passed, 0 failed, [0-9]+ skipped$"'

echo "==== second time, without a network"
in_root 'dpkg-query -W' >"$root/opt/packages"
unshare -n chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp \
    sh -c 'cd /opt/filigree && ./run setup && ./run demo && ./run test' | tee "$root/opt/again"
in_root 'dpkg-query -W' >"$root/opt/packages.again"
check "nothing was installed" 'cmp -s "$root/opt/packages" "$root/opt/packages.again"'
check "set-up said so" 'grep -q "nothing to do" "$root/opt/again"'
