#!/usr/bin/env bash
# Builds and runs the C++ tests under the address and undefined sanitizers, then under the thread
# sanitizer: native_tests.sh BUILD_DIR. Takes meson and ninja from PATH.
set -eu
build=${1:?"usage: native_tests.sh BUILD_DIR"}
cd "$(dirname "$0")/.."

export ASAN_OPTIONS=halt_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1

# Line tables are all that a sanitizer's report needs, and compile in half the time.
run_under() {
    local sanitizers=$1 directory=$build/native-${1//,/-}
    { [ -f "$directory/build.ninja" ] || meson setup "$directory" -Dnative_tests=true -Dfault_points=true \
        -Db_sanitize="$sanitizers" -Db_lundef=false -Dbuildtype=plain -Doptimization=1 -Dcpp_args=-g1; } &&
        ninja -C "$directory" && meson test -C "$directory" --no-rebuild --print-errorlogs
}

failed=0
run_under address,undefined || failed=1
echo "The thread sanitizer sees the threads of one process only: tests of several processes are left out."
run_under thread || failed=1
exit $failed
