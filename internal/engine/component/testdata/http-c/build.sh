#!/bin/sh
# Builds hello.wasm, an HTTP component in plain C without a libc. Needs clang, wasm-ld, node and npm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -o "$work/core.wasm" "$here/hello.c"
cp "$here/world.wit" "$here/build.mjs" "$work"
cd "$work"
npm install --silent --no-audit --no-fund --no-save @bytecodealliance/jco@1.35.0
node build.mjs core.wasm "$here/hello.wasm"
