#!/usr/bin/env bash
# Builds the functions for arm64 with the release profile, into target/arm64.
#
# A compiler without the standard library for arm64 is not given one: Debian sid's, which has it, is unpacked, without root,
# and not installed. QEMU comes with it, for the tests. Zig, which cargo-lambda brings, compiles the C code and links.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/sid.sh

home=$PWD/target/arm64
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu" ]; then
    [ "$(uname -m)" = x86_64 ] ||
        { echo "Give this compiler the standard library for aarch64-unknown-linux-gnu" >&2; exit 1; }
    if ! [ -d "$home/tree" ]; then
        echo "Unpacking a compiler and QEMU from Debian sid into target/arm64 (a minute, 1.6 GB)"
        from_sid "$home/tree" rustc,libstd-rust-dev:arm64,qemu-user,libc6-arm64-cross \
            --mode=chrootless --variant=extract --architectures=amd64,arm64
    fi
    # A program of the tree, with the libraries of the tree.
    cat > "$home/rustc" <<'RUSTC'
#!/bin/sh
usr=${0%/*}/tree/usr
exec "$usr/lib64/ld-linux-x86-64.so.2" --library-path "$usr/lib/x86_64-linux-gnu" "$usr/bin/rustc" --sysroot "$usr" "$@"
RUSTC
    chmod +x "$home/rustc"
    export RUSTC=$home/rustc
fi
"${RUSTC:-rustc}" --version

for function in failover-sync flush-hosts; do
    echo "Building $function for arm64 (several minutes the first time)"
    # Without the check, because it lets rustup download another compiler's standard library.
    (cd functions/$function && CARGO_TARGET_DIR=$home/build cargo lambda build --release --arm64 --skip-target-check \
        --lambda-dir "$home")
done
