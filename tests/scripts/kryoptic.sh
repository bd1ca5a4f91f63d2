#!/bin/sh
# kryoptic, a PKCS#11 module in Rust, for the signer's tests: from cargo's registry, against the system's OpenSSL and SQLite, into
# target/kryoptic. A build without optimization: OpenSSL does the work. `minimal` has no Ed25519, which needs a newer OpenSSL
# than Debian 12's.
set -eu
cd "$(dirname "$0")/../.."
version=1.5.4
to=$PWD/target/kryoptic
if [ "$(cat "$to/version" 2>/dev/null)" = "$version" ] && [ -e "$to/libkryoptic_pkcs11.so" ]; then exit 0; fi
rm -rf "$to/fetch" "$to/source"
mkdir -p "$to/fetch"
# A manifest that depends on it makes cargo fetch it, and say where its source is.
cat >"$to/fetch/Cargo.toml" <<END
[package]
name = "fetch"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"

[dependencies]
kryoptic = { version = "=$version", default-features = false }

[workspace]
END
: >"$to/fetch/lib.rs"
manifest=$(cargo metadata --format-version 1 --manifest-path "$to/fetch/Cargo.toml" |
    grep -o "\"manifest_path\":\"[^\"]*/kryoptic-$version/Cargo.toml\"" | cut -d'"' -f4)
cp -r "$(dirname "$manifest")" "$to/source"
# A workspace of its own, and only the library.
rm -rf "$to/source/tests"
sed -i '/^\[\[test\]\]/,/^$/d' "$to/source/Cargo.toml"
printf '\n[workspace]\n' >>"$to/source/Cargo.toml"
CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$to/build" cargo build --manifest-path "$to/source/Cargo.toml" \
    --no-default-features --features minimal,kryoptic-lib/dynamic
cp "$to/build/debug/libkryoptic_pkcs11.so" "$to/"
rm -rf "$to/build" "$to/source" "$to/fetch"
echo "$version" >"$to/version"
