#!/usr/bin/env bash
# Fetches Debian's promtool into .cache/prometheus, without installing it: rules that are exported
# are checked by it. Where there is no apt, or no mirror answers, says so and leaves it; tests that
# need it are skipped then, and fail in continuous integration (CI).
set -euo pipefail
cd "$(dirname "$0")/.."
into=.cache/prometheus
tool="$into/usr/bin/promtool"
[ -x "$tool" ] && exit 0
command -v promtool >/dev/null && exit 0
missing() { echo "promtool is not fetched ($1): tests that need it are skipped, and fail in CI"; exit 0; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || missing "this machine has no apt"
mkdir -p "$into/fetched"
cd "$into/fetched"
if ! apt-get download prometheus >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] && apt-get update >/dev/null 2>&1 || true
    apt-get download prometheus >/dev/null 2>&1 || missing "no package is to be had"
fi
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C .. ./usr/bin/promtool
rm -f prometheus_*.deb
