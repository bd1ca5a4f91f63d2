#!/bin/sh
# The signer's peers, installed into target/bench/peers. pkcs11js is compiled here: node-gyp would fetch Node's headers.
set -eu
cd "$(dirname "$0")/../../.."
to=$PWD/target/bench/peers
mkdir -p "$to"
cp tests/bench/signer/peers/package.json tests/bench/signer/peers/package-lock.json "$to"
npm --prefix "$to" ci --ignore-scripts --no-audit --no-fund
addon=$to/node_modules/pkcs11js
mkdir -p "$addon/build/Release"
c++ -std=c++17 -O2 -shared -fPIC -w -DNAPI_DISABLE_CPP_EXCEPTIONS -DNODE_GYP_MODULE_NAME=pkcs11 -DBUILDING_NODE_EXTENSION \
    -I"$addon/includes" -I"$to/node_modules/node-api-headers/include" \
    "$addon/src/dl.cpp" "$addon/src/common.cpp" "$addon/src/main.cpp" -o "$addon/build/Release/pkcs11.node" -ldl
python3 -m venv --clear "$to/python"
"$to/python/bin/pip" install --quiet -r tests/bench/signer/peers/requirements.txt
cc -O2 -w -o "$to/token" tests/bench/signer/token.c -ldl -lpthread
