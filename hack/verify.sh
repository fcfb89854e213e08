#!/usr/bin/env bash
# Fails unless what is generated is up to date and committed, and the code formatted, tidy and lint-free.
# It goes on after a failure, so that one run shows everything.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

failed=()
# check NAME REMEDY COMMAND...: runs COMMAND, and says what to do when it fails.
check() {
	local name=$1 remedy=$2
	shift 2
	echo "==> $name"
	if ! "$@"; then
		echo "FAIL: $name: $remedy" >&2
		failed+=("$name")
	fi
}

generated=(
	config/crd/bases 'api/**/zz_generated.*.go' docs/reference/api.md
	charts/usage-operator/templates/generated charts/usage-operator/README.md charts/usage-hub/README.md
)
# Two runs at once read the same checkout: no optional locks.
export GIT_OPTIONAL_LOCKS=0

generated_is_current() {
	hack/generate.sh || return
	local untracked
	git diff --exit-code -- "${generated[@]}" || return
	untracked=$(git ls-files --others --exclude-standard -- "${generated[@]}")
	[[ -z $untracked ]] || { printf 'not in git: %s\n' $untracked && return 1; }
}

formatted() {
	local unformatted
	unformatted=$(git ls-files -z -- '*.go' | xargs -0 ls 2>/dev/null | xargs gofmt -s -l) || return
	[[ -z $unformatted ]] || { printf '%s\n' "$unformatted" && return 1; }
}

in_ship() { (cd hack/ship && "$@"); }

check "generated files" "run hack/generate.sh and commit what it wrote" generated_is_current
check "format" "run 'make fmt'" formatted
check "the page" "run 'make ui' and commit what it wrote" env -C hack/ui go run . -check
check "go.mod" "run 'go mod tidy'" go mod tidy -diff
check "go.mod of hack/ship" "run 'go mod tidy' in hack/ship" go -C hack/ship mod tidy -diff
check "go.mod of hack/ship/krew" "run 'go mod tidy' in hack/ship/krew" go -C hack/ship/krew mod tidy -diff
check "lint" "see above; 'make lint-fix' repairs some of it" bin/golangci-lint run
check "test/bench" "make it build again: it is a module of its own, so that nothing else builds it" go -C test/bench vet -tags noduckdb .
check "lint of hack/ship" "see above" in_ship "$PWD/bin/golangci-lint" run

if ((${#failed[@]})); then
	printf 'verify failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
	exit 1
fi
echo "verify: all is well"
