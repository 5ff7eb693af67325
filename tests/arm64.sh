#!/usr/bin/env bash
# Builds the functions for arm64 with the release profile, and runs the tests of their binaries against the result, which
# QEMU runs as the processor of Lambda would. Everything that it makes is in target/arm64.
#
# The compiler, its standard library for arm64 and QEMU are Debian sid's: unpacked, not installed, and without root. Zig,
# which cargo-lambda brings, compiles the C code and links, against a glibc that is old enough.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/sid.sh

home=$PWD/target/arm64
# What Amazon Linux 2023 has.
glibc=GLIBC_2.34

[ "$(uname -m)" = x86_64 ] || { echo "make arm64 needs a machine with x86_64, not $(uname -m)" >&2; exit 1; }

if ! [ -d "$home/tree" ]; then
    echo "Unpacking the compiler and QEMU from Debian sid into target/arm64 (a minute, 1.6 GB)"
    from_sid "$home/tree" rustc,libstd-rust-dev:arm64,qemu-user,libc6-arm64-cross \
        --mode=chrootless --variant=extract --architectures=amd64,arm64
fi

# A program of the tree, with the libraries of the tree.
cat > "$home/rustc" <<'END'
#!/bin/sh
usr=${0%/*}/tree/usr
exec "$usr/lib64/ld-linux-x86-64.so.2" --library-path "$usr/lib/x86_64-linux-gnu" "$usr/bin/rustc" --sysroot "$usr" "$@"
END
chmod +x "$home/rustc"
echo "$("$home/rustc" --version), $("$home/tree/usr/bin/qemu-aarch64" --version | head -1)"

for function in failover-sync flush-hosts; do
    echo "Building $function for arm64 (several minutes the first time)"
    # Without the check, because it lets rustup download another compiler's standard library.
    (cd functions/$function && RUSTC=$home/rustc CARGO_TARGET_DIR=$home/build cargo lambda build --release --arm64 \
        --skip-target-check --output-format zip --lambda-dir "$home")
    # What is tested is what ships.
    python3 -m zipfile --extract "$home/$function/bootstrap.zip" "$home/$function"
    chmod +x "$home/$function/bootstrap"
    # Lambda's arm64 is Graviton2, a Neoverse N1: an instruction that it does not have ends the process.
    cat > "$home/$function/run" <<'END'
#!/bin/sh
usr=${0%/*/*}/tree/usr
exec "$usr/bin/qemu-aarch64" -cpu neoverse-n1 -L "$usr/aarch64-linux-gnu" "${0%/*}/bootstrap" "$@"
END
    chmod +x "$home/$function/run"
    needed=$(readelf --version-info "$home/$function/bootstrap" | grep -o 'GLIBC_2\.[0-9]*' | sort -V | tail -1)
    echo "target/arm64/$function/bootstrap.zip: $(wc -c < "$home/$function/bootstrap.zip") bytes, needs $needed"
    [ "$(printf '%s\n' "$needed" $glibc | sort -V | tail -1)" = $glibc ] ||
        { echo "$function needs $needed, and Amazon Linux 2023 has $glibc: is Zig still the linker?" >&2; exit 1; }
done

echo "The tests of the binaries, with those for arm64"
# One of them wants the example that panics.
cargo build --workspace --examples
BOOTSTRAP=$home/failover-sync/run cargo test --workspace --test runtime
BOOTSTRAP=$home/flush-hosts/run cargo test --workspace --test servers
