#!/usr/bin/env bash
# Installs MySQL from Debian sid into target/mysql, a directory tree of its own that nothing else uses (half a gigabyte).
# The suite moves on, so the tests do without where it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/sid.sh

tree=target/mysql

if ! [ -x $tree/usr/sbin/mysqld ]; then
    [ "$(id -u)" = 0 ] ||
        { echo "Only root can make a directory tree with programs in it: sudo make mysql" >&2; exit 1; }
    echo "Installing MySQL from Debian sid into $tree (less than a minute)"
    from_sid $tree mysql-server-core,mysql-client-core --mode=root --variant=minbase \
        --customize-hook='echo "127.0.0.1 localhost" > "$1/etc/hosts"'
fi
echo "$tree has MySQL: $(chroot $tree mysqld --version)"
