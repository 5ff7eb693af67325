#!/usr/bin/env bash
# The tests of the binaries, against others than those that cargo builds for them: binaries.sh FAILOVER_SYNC FLUSH_HOSTS
set -euo pipefail
failover_sync=$(realpath "$1")
flush_hosts=$(realpath "$2")
cd "$(dirname "$0")/.."

# One of the tests wants the example that panics.
cargo build --workspace --examples
BOOTSTRAP=$failover_sync cargo test --workspace --test runtime
BOOTSTRAP=$flush_hosts cargo test --workspace --test servers
