#!/usr/bin/env bash
# Sees that prometheus and promtool are there, which test/monitoring and test/operator run. As root on a Debian system, it
# installs the package prometheus; elsewhere it fails, and says what to install.
set -euo pipefail

have() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }

have && exit
if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
	echo "==> installing prometheus and promtool (Debian's package prometheus)" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get -o DPkg::Lock::Timeout=300 update -qq >&2
	# The package would start a server of its own: this forbids it, unless somebody has decided that already.
	policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends prometheus >&2
	have && exit
fi
cat >&2 <<'END'
prometheus and promtool are needed for the tests of config/monitoring, and are not in the PATH. Install them:
  Debian, Ubuntu:  sudo apt-get install prometheus
  macOS:           brew install prometheus
  elsewhere:       https://prometheus.io/download
END
exit 1
