# Sourced by the scripts that need what only Debian sid has.

# from_sid TREE PACKAGES OPTION...: the packages and all that they depend on in a directory tree of their own, by
# mmdebstrap with these options. The tree is there whole or not at all.
from_sid() {
    local tree=$1 packages=$2 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    # The mirror that this machine uses already.
    mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 '/debian$' || true)}
    [ -n "$mirror" ] || { echo "Give a mirror of Debian: DEBIAN_MIRROR=http://.../debian" >&2; exit 1; }
    type -P mmdebstrap >/dev/null && [ -e $keyring ] ||
        { echo "Missing: apt-get install mmdebstrap debian-archive-keyring" >&2; exit 1; }

    mkdir -p "$(dirname "$tree")"
    rm -rf "$tree.new"
    # A mirror that is behind has a release file whose date has passed; its signature is checked all the same.
    mmdebstrap --quiet --aptopt='Acquire::Check-Valid-Until "false"' --include="$packages" "${@:3}" \
        sid "$tree.new" "deb [signed-by=$keyring] $mirror sid main"
    mv "$tree.new" "$tree"
}
