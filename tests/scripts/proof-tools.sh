#!/bin/sh
# The tools of `make fuzz` and `make mutants` at their pinned versions, built once into target/tools.
# usage: proof-tools.sh cargo-fuzz|cargo-mutants
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/target/tools
case $1 in
cargo-fuzz)
    version=0.13.2
    # libFuzzer is C++.
    sh tests/scripts/system.sh c++ >/dev/null
    ;;
cargo-mutants) version=27.1.0 ;;
*) echo "no tool named $1: cargo-fuzz, cargo-mutants" >&2; exit 1 ;;
esac
if grep -qs "\"$1 $version " "$root/.crates.toml" && [ -x "$root/bin/$1" ]; then exit 0; fi
CARGO_TARGET_DIR="$root/build-$1" cargo install --root "$root" --locked --version "=$version" --force "$1"
rm -rf "$root/build-$1"
