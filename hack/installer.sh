#!/usr/bin/env bash
# Writes the files that people install from: installer.sh FOLDER, with KUBECTL and IMG in the environment.
# install.yaml is everything; uninstall.yaml is what of it may be deleted without losing data; meters.yaml are the built-in
# meters, for those who apply them themselves.
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
# The kinds are kept, and with them all meters and records; the namespace, which has the journal; and what clients verify
# the usage API by.
awk 'function put() { if (kept) printf "---\n%s", text; text = ""; kept = 1 }
	BEGIN { kept = 1 }
	/^---$/ { put(); next }
	/^kind: (CustomResourceDefinition|Namespace)$/ || /^  name: usage-api-ca$/ { kept = 0 }
	{ text = text $0 "\n" }
	END { put() }' "$tmp/install.yaml" >"$tmp/uninstall.yaml"
"$KUBECTL" kustomize config/meters >"$tmp/meters.yaml"
for file in install.yaml uninstall.yaml meters.yaml; do
	mv -f "$tmp/$file" "$out/$file"
done
echo "wrote $out/install.yaml, $out/uninstall.yaml and $out/meters.yaml ($IMG)"
