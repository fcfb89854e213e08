#!/usr/bin/env bash
# Looks for known vulnerabilities: in the code that is called, and in the programs that are shipped as they are linked
# (binary mode). It needs the database, https://vuln.go.dev, or a copy of it: GOVULNDB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Not a module of hack/tools: it is no part of what is built here, and needs the network to run.
version=${GOVULNCHECK_VERSION:?a version of golang.org/x/vuln}

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
GOBIN=$tmp go install "golang.org/x/vuln/cmd/govulncheck@$version"

unreachable() {
	cat >&2 <<END
The database of vulnerabilities cannot be read: ${GOVULNDB:-https://vuln.go.dev}
Nothing was checked. On a machine that reaches it:
  curl -fO https://vuln.go.dev/vulndb.zip
and here, with that file unpacked into a folder:
  make vulncheck GOVULNDB=file:///FOLDER
END
	exit 1
}

# govulncheck takes a folder without any for a database of none.
if [[ ${GOVULNDB:-} == file://* && -z $(find "${GOVULNDB#file://}" -name '*.json' -print -quit 2>/dev/null) ]]; then
	unreachable
fi

failed=0
# look FOLDER ARGUMENT...: 3 is that something was found.
look() {
	local folder=$1 code=0
	shift
	(cd "$folder" && "$tmp/govulncheck" ${GOVULNDB:+-db "$GOVULNDB"} "$@") 2>"$tmp/errors" || code=$?
	cat "$tmp/errors" >&2
	# Not a module proxy that cannot be reached: its errors name the proxy.
	if ((code == 1)) && grep -qF -e 'fetching vulnerabilities' -e 'creating client: ' -e "${GOVULNDB:-https://vuln.go.dev}" "$tmp/errors"; then
		unreachable
	fi
	((code == 0)) || failed=$code
}

for program in . ./cmd/kubectl-usage ./cmd/usage-hub; do
	name=$(basename "$program")
	[[ $program != . ]] || name=usage-operator
	echo "==> $name, as it is linked" # with its symbols, so that what is not linked is not found
	CGO_ENABLED=0 go build -trimpath -o "$tmp/$name" "$program"
	look . -mode=binary "$tmp/$name"
done
for module in . hack/ship; do
	echo "==> what is called in $module"
	look "$module" ./...
done
exit "$failed"
