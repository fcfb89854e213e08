#!/usr/bin/env bash
# Writes the files that people install from: installer.sh FOLDER, with KUBECTL and IMG in the environment.
# install.yaml is everything; meters.yaml are the built-in meters, for those who apply them themselves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=$1
: "${KUBECTL:?a kubectl}" "${IMG:?an image}"
mkdir -p "$out"
tmp=$(mktemp -d "$out/.tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

# The image is replaced in what was built, so that no file in Git changes.
"$KUBECTL" kustomize config/default |
	awk -v img="$IMG" '$1 == "image:" { sub(/image:.*/, "image: " img) } { print }' >"$tmp/install.yaml"
"$KUBECTL" kustomize config/meters >"$tmp/meters.yaml"
for file in install.yaml meters.yaml; do
	mv -f "$tmp/$file" "$out/$file"
done
echo "wrote $out/install.yaml and $out/meters.yaml ($IMG)"
