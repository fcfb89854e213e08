# Everything here needs Go, make and git: the tools, and the control plane that the tests run on, are built from Go
# modules. make test needs Prometheus and PostgreSQL, too (hack/prometheus.sh, hack/postgres.sh). Two makes may run at once.

SHELL := /usr/bin/env bash -o pipefail -e
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The image that is built and deployed.
IMG ?= ghcr.io/usage-operator/usage-operator:latest
# The program that builds it: docker, podman or nerdctl.
CONTAINER_TOOL ?= docker
# More flags for go test: make test TEST_FLAGS='-run TestRecords -v'
TEST_FLAGS ?=
# The packages that make test tests.
PACKAGES ?= ./...
# More arguments for make run.
ARGS ?=

# The version that the program says it has.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# What hack/vulncheck.sh runs.
GOVULNCHECK_VERSION ?= v1.9.0

BIN := $(CURDIR)/bin
CONTROLLER_GEN := $(BIN)/controller-gen
GOLANGCI_LINT := $(BIN)/golangci-lint

# How many packages are tested at a time: one more than there are cores, for suites wait for real time to pass.
PARALLEL ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

# The packages without I/O: their tests take seconds.
PURE := $(wildcard internal/usage internal/ledger internal/timeline internal/chronology internal/meter internal/attribution internal/record internal/report internal/lru internal/usageapi internal/usagecli)

# The race detector is C code: Go links it where there is a C compiler.
RACE = $(shell test "$$(go env CGO_ENABLED)" = 1 && command -v "$$(go env CC)" >/dev/null 2>&1 && echo -race)

# The kubectl that is as old as the control plane. A recipe that uses it needs control-plane-build.
KUBECTL ?= $$(go run ./hack/controlplane assets)/kubectl

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "; print "usage: make [target] [NAME=value ...]"} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-zA-Z0-9_-]+:.*## / {printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "IMG=$(IMG) CONTAINER_TOOL=$(CONTAINER_TOOL)"

##@ Develop

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Generate the CRDs from api/ into config/crd/bases, and from config/ the Helm chart.
	@hack/generate.sh manifests
	@hack/generate.sh chart

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate the deep copies of the API types.
	@hack/generate.sh deepcopy

.PHONY: reference
reference: manifests ## Generate docs/reference/api.md from the CRDs.
	@hack/generate.sh reference

.PHONY: fmt
fmt: ## Format every Go file.
	@git ls-files -z --cached --others --exclude-standard -- '*.go' | xargs -0 ls 2>/dev/null | xargs gofmt -s -w -l

.PHONY: vet
vet: ## Run go vet.
	go vet ./...

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Lint: the rules are in .golangci.yml.
	@echo "==> linting"
	@$(GOLANGCI_LINT) run
	@cd hack/ship && $(GOLANGCI_LINT) run

.PHONY: lint-fix
lint-fix: $(GOLANGCI_LINT) ## Lint, and repair what can be repaired.
	@$(GOLANGCI_LINT) run --fix

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in the programs and what they call. Needs https://vuln.go.dev, or GOVULNDB=copy.
	@GOVULNCHECK_VERSION=$(GOVULNCHECK_VERSION) GOVULNDB=$(GOVULNDB) hack/vulncheck.sh

.PHONY: verify
verify: $(CONTROLLER_GEN) $(GOLANGCI_LINT) ## Fail unless all that is generated is up to date, formatted, tidy and lint-free.
	@hack/verify.sh

##@ Test

.PHONY: test
# Data races are printed last, where they are found again.
test: control-plane-build crds-build prometheus postgres ## Run every test, on a real control plane.
	@test -n "$(RACE)" || echo "==> no C compiler: testing without the race detector"
	@echo "==> testing $(PACKAGES)"
	@test -t 1 || export GINKGO_NO_COLOR=TRUE; \
		races=$$(mktemp -d); trap 'cat "$$races"/* 2>/dev/null || true; rm -rf "$$races"' EXIT; \
		KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(go run ./hack/controlplane assets)}" GORACE="log_path=$$races/race" \
		go test $(RACE) -p $(PARALLEL) -timeout 45m $(TEST_FLAGS) $(PACKAGES)
	@test "$(PACKAGES)" != ./... || $(MAKE) --no-print-directory test-ship
	@test "$(PACKAGES)" != ./... || $(MAKE) --no-print-directory -j 2 test-draws test-histories

# Two lanes, each of which keeps one core busy.
.PHONY: test-draws test-histories
test-draws: # All draws of the journal and the archive, limits of memory, and some of the 2,000 histories, without the race detector.
	@echo "==> all draws of the journal and the archive, and limits of memory, without the race detector"
	@go test -count=1 ./internal/journal ./internal/archive ./test/growth
	@echo "==> histories 1,301 to 2,000"
	@go test -count=1 -timeout 30m ./test/simulate -run TestSeeds -args -simulate.seed=1301 -simulate.seeds=700

test-histories: # The others.
	@echo "==> histories 1 to 1,300"
	@go test -count=1 -timeout 30m ./test/simulate -run TestSeeds -args -simulate.seeds=1300

.PHONY: test-ship
test-ship: control-plane-build crds-build ## Test what is shipped: the chart, installed and uninstalled on a real control plane.
	@echo "==> testing hack/ship"
	@KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(go run ./hack/controlplane assets)}"; export KUBEBUILDER_ASSETS; \
		cd hack/ship && go test -timeout 20m $(TEST_FLAGS) ./...

.PHONY: test-faults
test-faults: control-plane-build crds-build ## Break everything that docs/reliability.md lists, at full size, without the race detector.
	@test -t 1 || export GINKGO_NO_COLOR=TRUE; \
		KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(go run ./hack/controlplane assets)}" \
		go test -timeout 120m $(TEST_FLAGS) ./test/faults -args -faults.full && \
		$(MAKE) --no-print-directory account DURATION=60m REPLICAS=2

.PHONY: account
account: control-plane-build crds-build ## Keep an account of real objects for DURATION=10m, with faults drawn from SEED=n and REPLICAS=2, and compare.
	@go test ./test/account -count 1 -timeout 0 -v -run TestAccount $(TEST_FLAGS) -args \
		-account.seed=$(or $(SEED),1) -account.duration=$(or $(DURATION),10m) -account.replicas=$(or $(REPLICAS),1) \
		$(if $(QUIET),-account.quiet) $(if $(FOLDER),-account.folder=$(FOLDER))

.PHONY: test-upgrade
test-upgrade: control-plane-build crds-build ## Upgrade from earlier versions, or FROM=commit,commit, JOBS=n at a time, and go back: docs/versioning.md.
	@KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(go run ./hack/controlplane assets)}" \
		go test ./test/account -count 1 -timeout 0 -v -run TestUpgrade $(if $(JOBS),-parallel $(JOBS)) $(TEST_FLAGS) -args \
		-upgrade.from=$(or $(FROM),all) $(if $(FOLDER),-account.folder=$(FOLDER))

.PHONY: test-fleet-kills
test-fleet-kills: control-plane-build crds-build postgres ## Kill any part of a fleet each 5 s for 10 minutes, or FOR=duration: docs/fleet.md.
	@KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(go run ./hack/controlplane assets)}" \
		go test ./test/hub -count 1 -timeout 0 -v -run TestKillsOfAnyPart $(TEST_FLAGS) -args -kills.for=$(or $(FOR),10m) -kills.every=5s

.PHONY: test-azure
test-azure: ## Test the archive on a server of Azure Blob Storage. Needs npm, which installs it once.
	@go test ./internal/archive -count 1 -run Bucket $(TEST_FLAGS) -args -archive.azure

.PHONY: ui
ui: ## Bundle the page in ui/ into internal/dashboard/assets. Needs npm.
	@cd hack/ui && go run .

.PHONY: openapi-lint
openapi-lint: ## Check the usage API's description by redocly's recommended rules. Needs npx, and the network once.
	@npx --yes @redocly/cli@2.77.0 lint --extends=recommended internal/usageapi/openapi.json

.PHONY: test-unit
test-unit: ## Run the tests of the packages without I/O: seconds.
	@go test $(TEST_FLAGS) $(PURE:%=./%)

.PHONY: simulate
simulate: ## Simulate SEEDS=n histories from SEED=x on, each of minutes, in virtual time; FULL=1 excuses nothing.
	@go test ./test/simulate -count 1 -timeout 0 -v -run TestSeeds $(TEST_FLAGS) -args \
		-simulate.seeds=$(or $(SEEDS),100) -simulate.seed=$(or $(SEED),1) $(if $(FULL),-simulate.full) $(if $(LOG),-simulate.log)

.PHONY: mutants
mutants: ## Break the rules of test/simulate/mutants.txt, one at a time, and tell when the simulator finds it: SEEDS=n, MUTANTS=regexp.
	@go run ./hack/mutants -seeds $(or $(SEEDS),2000) -run '$(MUTANTS)'

.PHONY: flood
flood: ## A tenant floods the usage API of a ledger of 1M segments for a minute, or TENANTS=n do: memory, and how much slower another is answered.
	@go test ./internal/usageapi -run TestAFloodTakesWhatItMayAndNoMore -count 1 -v -args \
		-flood.segments 1000000 -flood.for 60s -flood.resident 512 -flood.slower 5 -flood.tenants $(or $(TENANTS),1)

.PHONY: test-soak
test-soak: control-plane-build ## All hostile tenants at once beside PAIRS=1000 honest deployments, for DURATION=10m: figures, memory, seals.
	@KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(go run ./hack/controlplane assets)}" \
		go test ./test/soak -count 1 -timeout 0 -v -run TestSoak $(TEST_FLAGS) -args \
		-soak.duration=$(or $(DURATION),10m) -soak.pairs=$(or $(PAIRS),1000) $(if $(QUIET),-soak.quiet) $(if $(FOLDER),-soak.folder=$(FOLDER))

.PHONY: conformance
conformance: control-plane-build ## Compare the simulator's API server with the real one: SESSIONS=n, each of 105 scripts, from SEED=x on.
	@KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$(go run ./hack/controlplane assets)}" \
		go test ./test/simulate/conformance -count 1 -timeout 0 -v $(TEST_FLAGS) -args \
		-conformance.sessions=$(or $(SESSIONS),10) -conformance.seed=$(or $(SEED),1)

.PHONY: bench
bench: ## Run the benchmarks in test/bench.
	@cd test/bench && go run . $(ARGS)

.PHONY: bench-growth
bench-growth: ## Days of pods, GROWTH=2000x365,20000x30 an hour: what each costs; a replica with more than 512 MiB is killed.
	@cd test/bench && go run -tags noduckdb . --only 11 --output '' --growth $(or $(GROWTH),2000x365,20000x30) $(ARGS)

##@ Build

.PHONY: build
build: ## Build bin/usage-operator.
	@echo "==> building bin/usage-operator"
	@CGO_ENABLED=0 go build -trimpath -ldflags="-s -w -X main.version=$(VERSION)" -o $(BIN)/usage-operator .

.PHONY: run
run: ## Run the operator here, against the cluster of the current kubeconfig context.
	go run . $(ARGS)

.PHONY: image
image: ## Build the image for amd64 and arm64 into dist/image, without a container engine; PUSH=reference pushes it.
	@go -C hack/ship run ./cmd/image -version $(VERSION) $(if $(PUSH),-push $(PUSH))

.PHONY: docker-build
docker-build: ## Build the image IMG with CONTAINER_TOOL.
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) -t $(IMG) .

.PHONY: docker-push
docker-push: ## Push the image IMG with CONTAINER_TOOL.
	$(CONTAINER_TOOL) push $(IMG)

.PHONY: build-installer
build-installer: manifests control-plane-build ## Write dist/install.yaml and dist/meters.yaml, with the image IMG.
	@KUBECTL="$(KUBECTL)" IMG="$(IMG)" hack/installer.sh dist

.PHONY: krew
krew: ## Write kubectl usage for krew into dist/, with the version VERSION.
	@go -C hack/ship run ./cmd/release plugin -out $(CURDIR)/dist $(RELEASE_FLAGS)

##@ Release: docs/releasing.md

# A version that is said, and not the one that git describes.
RELEASE_FLAGS = $(if $(filter command environment,$(origin VERSION)),-version $(VERSION)) $(if $(KEY),-key $(abspath $(KEY))) \
	$(if $(PLUGIN_PLATFORMS),-plugin-platforms $(PLUGIN_PLATFORMS))

.PHONY: release-dry-run
release-dry-run: ## Make all of a release in dist/release, signed with a key of its own, verify it and list it; nothing leaves this machine.
	@go -C hack/ship run ./cmd/release dry-run $(RELEASE_FLAGS)

.PHONY: release
release: ## Make and verify the release VERSION=v1.2.3 in dist/release, signed with KEY=file of cosign's, or not signed.
	@go -C hack/ship run ./cmd/release make $(RELEASE_FLAGS) $(if $(BUILDER),-builder $(BUILDER)) $(if $(REGISTRY),-registry $(REGISTRY))

.PHONY: release-push
release-push: ## Push the image and the chart of dist/release, and print their digests.
	@go -C hack/ship run ./cmd/release push $(RELEASE_FLAGS) $(if $(REGISTRY),-registry $(REGISTRY))

##@ Install: into the cluster of the current kubeconfig context

.PHONY: install
install: manifests control-plane-build ## Install the CRDs alone.
	@$(KUBECTL) apply --server-side -k config/crd

.PHONY: uninstall
uninstall: control-plane-build ## Delete the CRDs, and with them every meter and record: DELETE_DATA=yes.
	@test "$(DELETE_DATA)" = yes || { echo "this deletes every meter, every record and the journal: say DELETE_DATA=yes" >&2; exit 1; }
	@$(KUBECTL) delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: build-installer ## Install everything, with the image IMG.
	@$(KUBECTL) apply --server-side -f dist/install.yaml

.PHONY: undeploy
undeploy: build-installer ## Delete what deploy installed, and keep all data; DELETE_DATA=yes: with every meter and record.
	@KUBECTL="$(KUBECTL)" hack/undeploy.sh dist "$(DELETE_DATA)"

##@ A control plane on this machine

.PHONY: control-plane
control-plane: ## Start a control plane with simulated nodes; it says how to reach it.
	@go run ./hack/controlplane up

.PHONY: control-plane-down
control-plane-down: ## Stop it.
	@go run ./hack/controlplane down

.PHONY: control-plane-build
control-plane-build: ## Build its programs, once per version: some minutes.
	@go run ./hack/controlplane build

.PHONY: prometheus
prometheus: ## See that prometheus and promtool are there: as root on Debian, install them.
	@hack/prometheus.sh

.PHONY: postgres
postgres: ## See that the programs of PostgreSQL are there: as root on Debian, install them.
	@hack/postgres.sh

.PHONY: crds-build
crds-build: ## Get the CRDs of what the tests meter from their Go modules, once per version.
	@go run ./hack/crds >/dev/null

.PHONY: demo
demo: ## Show the operator at work on a control plane of its own; KEEP=1 leaves it running.
	@go run ./hack/demo $(if $(KEEP),--keep)

.PHONY: demo-fleet
demo-fleet: postgres ## Show two clusters, and a hub that has the ledgers of both, in about five minutes; KEEP=1 leaves them running.
	@go run ./hack/demo $(if $(KEEP),--keep) fleet

.PHONY: demo-fleet-down
demo-fleet-down: ## Stop what demo-fleet KEEP=1 left running.
	@go run ./hack/demo fleet-down

.PHONY: demo-down
demo-down: ## Stop what demo KEEP=1 left running.
	@go run ./hack/demo down

##@ Tools: their versions are in hack/tools/go.mod

.PHONY: tools
tools: $(CONTROLLER_GEN) $(GOLANGCI_LINT) ## Build controller-gen and golangci-lint into bin/.

.PHONY: clean
clean: ## Remove bin/ and dist/.
	rm -rf $(BIN) dist

# Built aside and renamed, so that two makes at once do not run half a program.
define build-tool
@mkdir -p $(BIN)
@echo "==> building $(@F)$(1)"
@tmp=$$(mktemp -d $(BIN)/.build.XXXXXX) && trap 'rm -rf "$$tmp"' EXIT && \
	(cd hack/tools && go build -o "$$tmp/$(@F)" $(2)) && mv -f "$$tmp/$(@F)" $@
endef

$(CONTROLLER_GEN): hack/tools/go.mod hack/tools/go.sum
	$(call build-tool,,sigs.k8s.io/controller-tools/cmd/controller-gen)

$(GOLANGCI_LINT): hack/tools/go.mod hack/tools/go.sum
	$(call build-tool, (some minutes$(comma) once),github.com/golangci/golangci-lint/v2/cmd/golangci-lint)

comma := ,
