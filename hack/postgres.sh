#!/usr/bin/env bash
# Sees that the programs of PostgreSQL 15 or newer are there, which the tests of the hub run a server of their own with. As
# root on a Debian system, it installs the package postgresql-15, or postgresql where there is none of that name; elsewhere it
# fails, and says what to install. No server of the system's is started, and none is used.
set -euo pipefail

have() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

have && exit
if [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
	echo "==> installing PostgreSQL (Debian's package postgresql-15)" >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get -o DPkg::Lock::Timeout=300 update -qq >&2
	# The package would start a server of its own: this forbids it, unless somebody has decided that already.
	policy=/usr/sbin/policy-rc.d
	if [[ ! -e $policy ]]; then
		trap 'rm -f "$policy"' EXIT
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
	fi
	package=postgresql-15
	[[ -n $(apt-cache search --names-only "^$package\$") ]] || package=postgresql
	apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$package" >&2
	have && exit
fi
cat >&2 <<'END'
initdb and postgres, of PostgreSQL 15 or newer, are needed for the tests of the hub. Install them:
  Debian, Ubuntu:  sudo apt-get install postgresql
  macOS:           brew install postgresql@15
  elsewhere:       https://www.postgresql.org/download
END
exit 1
