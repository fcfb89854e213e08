#!/usr/bin/env bash
# Generates CRDs (manifests) and deep copies (deepcopy) from api/, the API reference (reference) from the CRDs, and the
# chart from config/; all without an argument.
# Files are written aside and renamed where they differ, so that nobody reads half a file.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

what=${1:-all}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# put FROM TO: TO becomes FROM, at once.
put() {
	if ! cmp -s "$1" "$2"; then
		cp "$1" "$2.$$"
		mv -f "$2.$$" "$2"
		echo "wrote $2"
	fi
}

if [[ $what == manifests || $what == all ]]; then
	bin/controller-gen crd paths=./api/... output:crd:dir="$tmp/crd"
	go run ./hack/paragraphs "$tmp/crd"
	mkdir -p config/crd/bases
	for file in "$tmp"/crd/*.yaml; do
		put "$file" "config/crd/bases/${file##*/}"
	done
	for file in config/crd/bases/*.yaml; do
		[[ -e $tmp/crd/${file##*/} ]] || { rm -f "$file" && echo "removed $file"; }
	done
fi

if [[ $what == deepcopy || $what == all ]]; then
	for dir in api/*/; do
		dir=${dir%/}
		bin/controller-gen object:headerFile=hack/boilerplate.go.txt paths="./$dir" output:dir="$tmp/$dir"
		put "$tmp/$dir/zz_generated.deepcopy.go" "$dir/zz_generated.deepcopy.go"
	done
fi

if [[ $what == chart || $what == all ]]; then
	go run ./hack/chart
fi

if [[ $what == reference || $what == all ]]; then
	go run ./hack/apireference config/crd/bases "$tmp/api.md"
	mkdir -p docs/reference
	put "$tmp/api.md" docs/reference/api.md
fi
