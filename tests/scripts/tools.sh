#!/bin/sh
# The WebAssembly tools at their pinned versions, built once into target/tools. They only drive builds, so they are
# compiled without optimization, except what rewrites the .wasm itself. wasm-bindgen must equal Cargo.lock's version.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD/target/tools
bindgen=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/version = |"/, ""); print; exit }' Cargo.lock)

export CARGO_TARGET_DIR="$root/build" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=false \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_PROFILE_RELEASE_STRIP=debuginfo

# tool CRATE VERSION BINARY [cargo install options]
tool() {
    crate=$1 version=$2 binary=$3
    shift 3
    # `cargo install` remembers what it put there; a hit costs no build. PATH may hold the right one already.
    if grep -qs "\"$crate $version " "$root/.crates.toml" && [ -x "$root/bin/$binary" ]; then return 0; fi
    # The published lock files of these tools name versions that were withdrawn since: resolved afresh.
    cargo install --root "$root" --version "=$version" --bin "$binary" --force \
        --config profile.release.package.walrus.opt-level=1 \
        --config profile.release.package.wasmparser.opt-level=1 \
        --config profile.release.package.wasm-encoder.opt-level=1 \
        --config profile.release.package.wasm-bindgen-cli-support.opt-level=1 \
        "$@" "$crate"
}

mkdir -p "$root"
tool wasm-bindgen-cli "$bindgen" wasm-bindgen --no-default-features
tool wasm-pack 0.15.1 wasm-pack --no-default-features
rm -rf "$root/build"
