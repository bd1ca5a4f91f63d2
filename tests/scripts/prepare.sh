#!/bin/sh
# Entry of every make target: makes sure that some Node is there, then runs the steps named (see prepare.mjs).
set -eu
cd "$(dirname "$0")/../.."
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || sh tests/scripts/system.sh node npm
exec node tests/scripts/prepare.mjs "$@"
