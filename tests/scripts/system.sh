#!/bin/sh
# System packages: finds what is missing of the commands and files named as arguments and installs only that.
# usage: system.sh [cc make git node npm python-venv softhsm softokn pkcs11-tool sqlite3 postgresql chromium openssl haproxy jose curl jq systemd-nspawn]...
set -eu

have() {
    case $1 in
    softhsm)
        [ -n "${EDGESEAL_PKCS11_MODULE:-}" ] && [ -e "$EDGESEAL_PKCS11_MODULE" ] && return 0
        for file in /usr/lib/softhsm/libsofthsm2.so /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
            /usr/local/lib/softhsm/libsofthsm2.so /opt/homebrew/lib/softhsm/libsofthsm2.so; do
            [ -e "$file" ] && command -v softhsm2-util >/dev/null 2>&1 && return 0
        done
        return 1
        ;;
    chromium)
        [ -n "${EDGESEAL_CHROMIUM:-}" ] && [ -x "$EDGESEAL_CHROMIUM" ] && return 0
        for name in chromium chromium-browser google-chrome google-chrome-stable; do
            command -v "$name" >/dev/null 2>&1 && return 0
        done
        return 1
        ;;
    softokn)
        for file in /usr/lib/*/libsoftokn3.so /usr/lib64/libsoftokn3.so /usr/lib/libsoftokn3.so; do
            [ -e "$file" ] && command -v certutil >/dev/null 2>&1 && return 0
        done
        return 1
        ;;
    postgresql)
        for file in /usr/lib/postgresql/*/bin/initdb; do
            [ -x "$file" ] && return 0
        done
        command -v initdb >/dev/null 2>&1
        ;;
    libclang)
        for file in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib64/libclang.so*; do
            case $file in *cpp*) continue ;; esac
            [ -e "$file" ] && return 0
        done
        return 1
        ;;
    openssl-headers) pkg-config --exists libcrypto 2>/dev/null || [ -e /usr/include/openssl/ssl.h ] ;;
    sqlite-headers) [ -e /usr/include/sqlite3.h ] ;;
    python-venv) python3 -c 'import venv, ensurepip' >/dev/null 2>&1 ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

package() {
    case $1 in
    softhsm) echo softhsm2 ;;
    softokn) echo libnss3 libnss3-tools ;;
    pkcs11-tool) echo opensc ;;
    python-venv) echo python3 python3-venv ;;
    cc) echo gcc libc6-dev ;;
    c++) echo g++ ;;
    libclang) echo libclang-dev ;;
    openssl-headers) echo libssl-dev ;;
    sqlite-headers) echo libsqlite3-dev ;;
    node) echo nodejs ;;
    systemd-nspawn) echo systemd systemd-container ;;
    *) echo "$1" ;;
    esac
}

packages=
for thing in "$@"; do
    have "$thing" || packages="$packages $(package "$thing")"
done
if [ -z "$packages" ]; then
    echo "nothing missing"
    exit 0
fi

install="apt-get install -y --no-install-recommends$packages"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing:$packages (Debian's names). Install them with this system's package manager, then run make again." >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "missing:$packages. Run this, then make again:  sudo apt-get update && sudo $install" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o Acquire::Retries=3 update
# shellcheck disable=SC2086 # the list is words
apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $packages </dev/null
for thing in "$@"; do
    have "$thing" || { echo "$thing is still missing after installing:$packages" >&2; exit 1; }
done
echo "installed:$packages"
