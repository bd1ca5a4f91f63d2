#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER of `make p256-differential`: WebAssembly's field natively, in the workspace's own crates, so that their
# dependencies are compiled once for both fields.
exec "$@" --cfg edgeseal_field29
