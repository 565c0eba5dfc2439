#!/bin/sh
# Installs the Debian packages of debian-packages.txt that are missing; says so and does nothing else
# when all are there. Needs root only when something is missing.
set -eu

list="$(dirname "$0")/debian-packages.txt"
missing=""
while read -r package; do
  case "$package" in '#'* | '') continue ;; esac
  status="$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)"
  [ "$status" = installed ] || missing="$missing $package"
done <"$list"
[ -n "$missing" ] || exit 0

echo "Installing Debian packages:$missing"
if [ "$(id -u)" -ne 0 ]; then
  echo "setup_system.sh: run this once as root: apt-get install$missing" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086  # The list is split on purpose.
apt-get install -q -y --no-install-recommends $missing
