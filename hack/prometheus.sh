#!/usr/bin/env bash
# Sees to it that Debian's prometheus and promtool are on PATH, which the end-to-end tests
# run the dashboard and the rules with. As root where apt-get is, it installs the package;
# otherwise it says what to install. A second run does nothing.
set -euo pipefail

have() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }
have && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	cat >&2 <<'END'
The end-to-end tests need prometheus and promtool on PATH. Install them and run this again:
  sudo apt-get install --no-install-recommends prometheus     (Debian, Ubuntu)
  or https://prometheus.io/download, both programs into a directory of PATH; 2.40 or newer
END
	exit 1
fi

echo "installing Debian's package prometheus" >&2
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # 1: its service is not started
install() { apt-get install -y -qq --no-install-recommends prometheus >&2; }
install || { apt-get update -qq >&2 && install; } || {
	echo "apt-get could not install the package prometheus; the reason stands above" >&2
	exit 1
}
have || { echo "the package prometheus brought no prometheus and promtool onto PATH" >&2; exit 1; }
