#!/usr/bin/env bash
# Builds kubectl usage for krew, the manager of kubectl's plugins: krew.sh FOLDER, with VERSION in the environment.
# It writes an archive for each platform, and usage-ledger.yaml, which says where they are to be found: in the
# release of that version. (A plugin's name in krew's index has to say what it is about: "usage" alone does not.)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=$1
: "${VERSION:?a version, such as v1.2.3}"
releases=https://github.com/usage-operator/usage-operator/releases/download
mkdir -p "$out"
tmp=$(mktemp -d "$out/.tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

{
	cat <<-EOF
		apiVersion: krew.googlecontainertools.github.com/v1alpha2
		kind: Plugin
		metadata:
		  name: usage-ledger
		spec:
		  version: $VERSION
		  homepage: https://github.com/usage-operator/usage-operator
		  shortDescription: Show what was used, exactly, from usage-operator's ledger
		  description: |
		    Shows what was used in a cluster, and when: by resource, deployment and
		    namespace, as tables, bars, CSV, Parquet or FOCUS, and why each figure is
		    what it is. It needs usage-operator in the cluster, and no more rights than
		    to list usagerecords.
		  platforms:
	EOF
	for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
		os=${platform%/*} arch=${platform#*/} program=kubectl-usage
		if [[ $os == windows ]]; then program+=.exe; fi
		archive=kubectl-usage_${os}_${arch}.tar.gz
		CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -ldflags="-s -w" -o "$tmp/$program" ./cmd/kubectl-usage
		# The same program has the same digest, whoever builds it, and when.
		tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$tmp" -c "$program" -C "$PWD" LICENSE | gzip -n >"$tmp/$archive"
		digest=$(sha256sum "$tmp/$archive")
		cat <<-EOF
			  - selector: {matchLabels: {os: $os, arch: $arch}}
			    uri: $releases/$VERSION/$archive
			    sha256: ${digest%% *}
			    bin: $program
		EOF
		mv -f "$tmp/$archive" "$out/$archive"
		echo "wrote $out/$archive" >&2
	done
} >"$tmp/usage-ledger.yaml"
mv -f "$tmp/usage-ledger.yaml" "$out/usage-ledger.yaml"
echo "wrote $out/usage-ledger.yaml ($VERSION)"
