#!/usr/bin/env bash
# Installs MySQL from Debian sid into target/mysql, a directory tree of its own that nothing else uses (half a gigabyte).
# The suite moves on, so the tests do without where it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."

tree=target/mysql
# The mirror that this machine uses already.
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 '/debian$' || true)}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

if [ -x $tree/usr/sbin/mysqld ]; then
    echo "$tree has MySQL: $(chroot $tree mysqld --version)"
    exit
fi
[ "$(id -u)" = 0 ] || { echo "Only root can make a directory tree with programs in it: sudo make mysql" >&2; exit 1; }
[ -n "$mirror" ] || { echo "Give a mirror of Debian: DEBIAN_MIRROR=http://.../debian make mysql" >&2; exit 1; }
type -P mmdebstrap >/dev/null && [ -e $keyring ] ||
    { echo "Missing: apt-get install mmdebstrap debian-archive-keyring" >&2; exit 1; }

echo "Installing MySQL from Debian sid into $tree (less than a minute)"
mkdir -p target
# A mirror that is behind has a release file whose date has passed; its signature is checked all the same.
mmdebstrap --quiet --mode=root --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
    --include=mysql-server-core,mysql-client-core sid $tree.new "deb [signed-by=$keyring] $mirror sid main"
echo "127.0.0.1 localhost" > $tree.new/etc/hosts
mv $tree.new $tree
chroot $tree mysqld --version
