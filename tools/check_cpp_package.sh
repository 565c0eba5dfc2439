#!/usr/bin/env bash
# Tries the C++ package as a stranger's project would: installs it from a build tree into a fresh
# folder, builds examples/embed_cpp with it, by CMake and by pkg-config, runs what it built, moves
# the folder and does the same again.
#
#     tools/check_cpp_package.sh BUILD_TREE
set -euo pipefail

build_tree=$(realpath "$1")
example=$(realpath "$(dirname "$0")/../examples/embed_cpp")
unset MAKEFLAGS  # The example is built by a make of its own, also when a make runs this.
warnings="-Wall -Wextra -Wpedantic -Werror"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# expect TEXT COMMAND...: the command prints the text.
expect() {
  local wanted=$1 came
  shift
  came=$(cd "$(mktemp -d -p "$work")" && "$@")
  echo "$(basename "$1"): $came"
  [[ $came == "$wanted" ]] || { echo "wanted was: $wanted" >&2; return 1; }
}

try_prefix() {
  local prefix=$1 build
  echo "-- in $(basename "$prefix")"
  build=$(mktemp -d -p "$work")
  cmake -S "$example" -B "$build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_FLAGS="$warnings"
  cmake --build "$build"
  expect "7 9 11 5 both here and served" "$build/embed_cpp"
  expect "-1 -4 -9 -16 from 2 ranks" "$build/embed_cpp_distributed" "$prefix/bin/pipeserve-agent"

  export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
  # shellcheck disable=SC2046,SC2086  # Several flags each.
  g++ -std=c++20 $warnings -o "$build/by_pkg_config" "$example/main.cc" \
    $(pkg-config --cflags --libs pipeserve) "-Wl,-rpath,$(pkg-config --variable=libdir pipeserve)"
  expect "7 9 11 5 both here and served" "$build/by_pkg_config"
}

cmake --install "$build_tree" --component cpp --prefix "$work/installed" --strip
try_prefix "$work/installed"
# A folder of either in a file would be a path that only this machine has.
if grep -rl -e "$work" -e "$build_tree" "$work/installed"; then
  echo "these files name the folders in which the package was made" >&2
  exit 1
fi
mv "$work/installed" "$work/moved"
try_prefix "$work/moved"
