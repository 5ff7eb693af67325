#!/usr/bin/env bash
# Installs what the tests of flush-hosts run against: MariaDB's server and client from the distribution, without a
# service, and into target/mariadb what lets a server ask for passwords in clear text, as RDS does for IAM tokens.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/usr/libexec

packages=(mariadb-server-core mariadb-client-core)
fixture=target/mariadb/pam
# Nothing that is installed has to make way: a MySQL server, for example.
install=(apt-get install --yes --no-install-recommends --no-remove)

have() { type -P "$1" >/dev/null; }

installed() { have mariadbd && have mariadb && have mariadb-install-db; }

explain() {
    echo "MariaDB is missing, and cannot be installed from here. Install it, and run make again:"
    if have apt-get; then
        echo "  sudo apt-get update && sudo apt-get install --no-install-recommends ${packages[*]}"
    elif have dnf; then
        echo "  sudo dnf install mariadb-server mariadb mariadb-pam pam_wrapper"
    elif have apk; then
        echo "  sudo apk add mariadb mariadb-client mariadb-server-utils pam_wrapper"
    else
        echo "  the programs mariadbd, mariadb and mariadb-install-db, by whatever package has them"
    fi
    exit 1
} >&2

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

if ! installed; then
    have apt-get || explain
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || explain
    echo "Installing ${packages[*]} with apt-get"
    # The package lists may be missing, or name versions that the archive has replaced since.
    as_root "${install[@]}" --quiet=2 "${packages[@]}" >/dev/null 2>&1 || {
        as_root apt-get update --quiet=2
        as_root "${install[@]}" --quiet=2 "${packages[@]}" >/dev/null || explain
    }
    installed || explain
fi

if ! [ -e $fixture/auth_pam_v1.so ] || ! [ -e $fixture/libpam_wrapper.so ]; then
    mkdir -p $fixture
    plugins=$(mariadbd --no-defaults --verbose --help 2>/dev/null | awk '$1 == "plugin-dir" { print $2 }')
    wrapper=$(ldconfig -p 2>/dev/null | awk '$1 == "libpam_wrapper.so" { print $NF; exit }')
    if [ -e "$plugins/auth_pam_v1.so" ] && [ -n "$wrapper" ]; then
        cp "$plugins/auth_pam_v1.so" "$wrapper" $fixture
    elif have apt-get; then
        echo "Fetching MariaDB's PAM plugin and pam_wrapper, without installing them"
        scratch=$(mktemp --directory)
        trap 'rm -rf "$scratch"' EXIT
        here=$PWD
        (cd "$scratch" && apt-get download -o APT::Sandbox::User=root --quiet=2 mariadb-server libpam-wrapper)
        for package in "$scratch"/*.deb; do
            dpkg-deb --extract "$package" "$scratch/files"
        done
        for file in auth_pam_v1.so libpam_wrapper.so; do
            find "$scratch/files" -name $file -exec cp {} "$here/$fixture" \;
        done
    fi
fi
for file in auth_pam_v1.so libpam_wrapper.so; do
    [ -e $fixture/$file ] || { echo "$fixture/$file is missing: put it there (MariaDB's PAM plugin, pam_wrapper)" >&2; exit 1; }
done
