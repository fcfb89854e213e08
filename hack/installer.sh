#!/usr/bin/env bash
# Writes the file that installs everything: installer.sh FILE, with KUBECTL and IMG in the environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=$1
: "${KUBECTL:?a kubectl}" "${IMG:?an image}"
mkdir -p "$(dirname "$out")"
tmp=$(mktemp "$out.XXXXXX")
trap 'rm -f "$tmp"' EXIT

# The one place where the image is named is config/manager; here it is replaced in what was built, so that no
# checked-in file changes.
"$KUBECTL" kustomize config/default |
	awk -v img="$IMG" '$1 == "image:" && $2 ~ /usage-operator/ { sub(/image:.*/, "image: " img) } { print }' >"$tmp"
chmod 644 "$tmp"
mv -f "$tmp" "$out"
echo "wrote $out ($IMG)"
