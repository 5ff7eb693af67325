#!/usr/bin/env bash
# Runs the tests of the binaries against those that infra/build-arm64.sh made, under QEMU.
set -euo pipefail
cd "$(dirname "$0")/.."

home=$PWD/target/arm64
[ -d "$home/tree" ] ||
    { echo "There is no QEMU in target/arm64, because this machine's own compiler builds for arm64" >&2; exit 1; }
"$home/tree/usr/bin/qemu-aarch64" --version | head -1
for function in failover-sync flush-hosts; do
    # Lambda's arm64 is Graviton2, a Neoverse N1: an instruction that it does not have ends the process.
    cat > "$home/$function/run" <<'RUN'
#!/bin/sh
usr=${0%/*/*}/tree/usr
exec "$usr/bin/qemu-aarch64" -cpu neoverse-n1 -L "$usr/aarch64-linux-gnu" "${0%/*}/bootstrap" "$@"
RUN
    chmod +x "$home/$function/run"
done
tests/binaries.sh "$home/failover-sync/run" "$home/flush-hosts/run"
