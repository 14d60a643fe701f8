# Every target that a person needs has a line behind two hashes; `make help` prints them.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The workspace: the platform, and the library that others import.
MODULES := . pkg/audit
ALL_PACKAGES := ./... ./pkg/audit/...
# The suites that need a server are behind build tags.
SUITE_TAGS := integration,e2e
# Modules outside the workspace: adapters of the library for peers that it must not depend on, programs of the Kind
# node image, and examples.
ADAPTERS := pkg/audit/otellog
KIND_NODE := hack/kind-node/src hack/kind-node/crictl
# The suite about alerts, with what Prometheus needs, and the kube-state-metrics that it runs.
ALERTS := test/alerts test/alerts/kube-state-metrics
EXAMPLES := $(patsubst %/go.mod,%,$(wildcard examples/*/go.mod))

BIN := bin
# Specs read their files relative to the suite's own folder.
SUITE := test/integration/prebuilt.test
E2E_SUITE := test/e2e/prebuilt.test
ALERTS_SUITE := test/alerts/prebuilt.test
PROCS ?= 12
SEED ?=
FOCUS ?=
REPORTS ?= out
# The platform's namespace in a cluster, and that of workflows.
export NAMESPACE ?= kubernaut-system
export WORKFLOWS_NAMESPACE ?= kubernaut-workflows

# Torture takes as many kills, and benchmarks the sizes, that were promised with SCALE=full, else a minute or two.
export SCALE ?= small

# Missing Debian packages are installed after a question on the terminal, or without one: for the tests, with INSTALL=1 and in CI.
test test-unit test-integration test-alerts ci nightly: export INSTALL := 1
export INSTALL
INSTALL_FLAG = $(if $(filter 1,$(INSTALL))$(filter true,$(CI)),--install)

# The demo asks for an approval on the terminal, or approves without one: with AUTO=1 and in CI.
ci: export AUTO := 1
AUTO_FLAG = $(if $(filter 1,$(AUTO))$(filter true,$(CI)),--auto)

export GOFLAGS ?= -buildvcs=false

# What --version and kubernaut_build_info show.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
BUILDINFO := kubernaut.ai/internal/buildinfo
LDFLAGS := -X $(BUILDINFO).version=$(VERSION) -X $(BUILDINFO).revision=$(REVISION)

##@ Use it

.PHONY: demo
demo: build ## a real alert becomes a remediation that you approve; tells the audit trail; AUTO=1 does not ask, INSTALL=1 installs packages without asking
	$(BIN)/kubernaut demo $(INSTALL_FLAG) $(AUTO_FLAG)

.PHONY: up
up: build ## the whole stack on this machine until Ctrl-C; UP_FLAGS="--data DIR --addresses FILE" keeps data, writes addresses
	$(BIN)/kubernaut up $(INSTALL_FLAG) $(UP_FLAGS)

.PHONY: example
example: build ## the operator of docs/recording.md against a real API server, DataStorage and PostgreSQL
	cd examples/operator && $(if $(INSTALL_FLAG),KUBERNAUT_INSTALL=true) GOWORK=off go test -tags e2e -count=1 -v -run TestChangesAreAudited . -kubernaut $(abspath $(BIN)/kubernaut)

.PHONY: build
build: ## the binaries, in bin/
	@mkdir -p $(BIN)
	go build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/kubernaut ./services/datastorage/cmd/datastorage ./services/gateway/cmd/gateway ./services/signalprocessing/cmd/signalprocessing ./services/workflowexecution/cmd/workflowexecution
	@ln -sf kubernaut $(BIN)/kubectl-kubernaut && ln -sf kubernaut $(BIN)/kubectl_complete-kubernaut

##@ Test it

.PHONY: test
test: test-unit test-integration ## unit and integration tests; prints the rows of docs/signals.md and docs/faults.md without a spec
	$(if $(FOCUS),,go run ./test/fieldrows -report $(REPORTS)/integration.xml docs/signals.md docs/faults.md)

# Packages with tests that the race detector would only slow down (files with the tag !race).
WITHOUT_RACE := ./services/gateway/internal/dedup ./services/gateway/internal/webhook

# The race detector needs a C compiler.
.PHONY: compiler
compiler:
	@hack/need.sh --compiler

.PHONY: test-unit
test-unit: compiler ## all unit tests with the race detector; needs no server
	go test -race $(ALL_PACKAGES)
	go test $(WITHOUT_RACE)
	@go test -race -v -run TestFieldAlerts ./services/gateway/internal/target/trial | grep '^field alerts'
	for m in $(ADAPTERS); do (cd $$m && GOWORK=off go test -race ./...) || exit 1; done
	cd bench && GOWORK=off go test ./audit ./datastorage ./ratio
	cd examples/operator && GOWORK=off go vet -tags e2e ./... && GOWORK=off go test ./...

.PHONY: test-integration
test-integration: $(SUITE) ## Ginkgo suites against real PostgreSQL and kube-apiserver; PROCS=12 SEED= FOCUS=
	@mkdir -p $(REPORTS)
	@hack/need.sh haproxy=haproxy pgbouncer=pgbouncer prometheus-alertmanager=prometheus-alertmanager
	go run ./test/prepare $(INSTALL_FLAG)
	cd test && go tool ginkgo -p --procs=$(PROCS) --randomize-all --fail-on-pending --fail-on-empty \
		--output-dir=$(abspath $(REPORTS)) --junit-report=integration.xml $(if $(SEED),--seed=$(SEED)) $(if $(FOCUS),--focus='$(FOCUS)') $(abspath $<) \
		|| { [ ! -e ../out/must-gather/latest ] || echo "collected: $$(cat ../out/must-gather/latest)"; exit 1; }
	$(if $(FOCUS),,go test -race -tags integration ./services/datastorage/app ./services/workflowexecution/internal/catalog ./services/workflowexecution/internal/cleanup ./services/workflowexecution/internal/execute ./cmd/kubernaut)

.PHONY: event-examples
event-examples: ## the examples of docs/events.md, from what the integration suites store
	@mkdir -p api/events/examples
	EVENT_EXAMPLES=$(abspath api/events/examples) $(MAKE) --no-print-directory test-integration
	$(MAKE) --no-print-directory generate

.PHONY: test-alerts
test-alerts: build compiler ## causes each alert in real services, follows its runbook, waits for its end; PROCS=12 SEED= FOCUS=
	@mkdir -p $(REPORTS)
	@hack/need.sh jq=jq psql=postgresql-client openssl=openssl curl=curl
	go run ./test/prepare $(INSTALL_FLAG)
	$(MAKE) --no-print-directory $(BIN)/kubectl
	cd test/alerts/kube-state-metrics && GOWORK=off go build -o $(abspath $(BIN))/ k8s.io/kube-state-metrics/v2
	cd test/alerts && GOWORK=off go test -race -c -o $(abspath $(ALERTS_SUITE)) .
	cd test && go tool ginkgo -p --procs=$(PROCS) --randomize-all --fail-on-pending --fail-on-empty \
		--output-dir=$(abspath $(REPORTS)) --junit-report=alerts.xml $(if $(SEED),--seed=$(SEED)) $(if $(FOCUS),--focus='$(FOCUS)') $(abspath $(ALERTS_SUITE))

# One race-instrumented binary for all processes.
.PHONY: $(SUITE) $(E2E_SUITE)
$(SUITE) $(E2E_SUITE): test/%/prebuilt.test: compiler
	go test -race -c -tags $* -o $@ ./test/$*

.PHONY: torture
torture: build ## kill -9 under load, again and again: nothing accepted is lost, nothing doubled; SCALE=full SEED= SCENARIOS="audit-spool ..."
	go build -o $(BIN)/ ./test/chaos/torture ./test/chaos/recorder
	@hack/need.sh haproxy=haproxy pgbouncer=pgbouncer
	go run ./test/prepare $(INSTALL_FLAG)
	$(BIN)/torture $(SCENARIOS)

.PHONY: torture-upgrade
torture-upgrade: build ## upgrades DataStorage under load, from before the newest migration or FROM=commit
	go build -o $(BIN)/ ./test/chaos/torture
	go run ./test/prepare $(INSTALL_FLAG)
	hack/older-datastorage.sh $(BIN)/datastorage-older $(FROM)
	OLDER_DATASTORAGE=$(BIN)/datastorage-older $(BIN)/torture upgrade

.PHONY: flake
flake: ## the founding scenario N times with random seeds: make flake N=100; hack/flake.sh says what else
	hack/flake.sh $(or $(N),100)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (30s)
	hack/fuzz.sh $(or $(FUZZTIME),30s)

.PHONY: nightly
nightly: ## every alert, torture and benchmarks with SCALE=full, an upgrade on Kind, and fuzzing; up to three hours; FUZZTIME (3m)
	hack/nightly.sh

.PHONY: mutants
mutants: ## breaks each promise of pkg/audit, and the Gateway's protocol, on purpose; expects a test to fail; MUTANTS='F1 *'
	go run ./test/mutants $(if $(MUTANTS),'$(MUTANTS)')

##@ Deploy it, and test it as users deploy it

CLUSTER_TOOLS := $(BIN)/kind $(BIN)/kubectl

.PHONY: docker
docker: ## starts Docker, or prints what is missing; INSTALL=1 installs without asking
	hack/docker.sh

.PHONY: kind-up
kind-up: $(CLUSTER_TOOLS) ## a Kind cluster, from a node image that is picked or built; KIND_IMAGE= CLUSTER=
	hack/kind.sh up

.PHONY: images
images: docker ## the services' images, from scratch bases; REGISTRY= VERSION= tags them for a registry
	hack/images.sh

.PHONY: kind-load
kind-load: $(CLUSTER_TOOLS) ## the images onto the cluster's node
	hack/kind.sh load

.PHONY: deploy
deploy: $(CLUSTER_TOOLS) ## deploy/kustomize/overlays/kind onto the cluster, until everything is ready; NAMESPACE= WORKFLOWS_NAMESPACE=
	hack/kind.sh deploy

.PHONY: e2e-run
e2e-run: compiler $(CLUSTER_TOOLS) ## the end-to-end suites against the deployed cluster, in 12 processes; SEED= FOCUS= NAMESPACE= WORKFLOWS_NAMESPACE=
	hack/e2e.sh run

.PHONY: must-gather
must-gather: ## what is needed to diagnose the cluster, without secrets, into out/must-gather
	hack/must-gather.sh --kubeconfig out/kind/kubeconfig --namespace $(NAMESPACE) --namespace $(WORKFLOWS_NAMESPACE) --dest out/must-gather

.PHONY: kind-down
kind-down: $(CLUSTER_TOOLS) ## deletes the cluster
	hack/kind.sh down

.PHONY: test-e2e
test-e2e: compiler docker $(CLUSTER_TOOLS) ## all of these in order; E2E_KEEP=1 keeps the cluster; NAMESPACE= WORKFLOWS_NAMESPACE=
	hack/e2e.sh all

.PHONY: test-upgrade
test-upgrade: docker $(CLUSTER_TOOLS) ## upgrades a Kind cluster under load, from before the second schema version or FROM=commit; UPGRADE_KEEP=1 keeps the cluster
	go build -o $(BIN)/ ./test/chaos/clusterload
	FROM='$(FROM)' hack/upgrade.sh

.PHONY: test-all
test-all: test test-e2e ## unit, integration and end-to-end tests

##@ Measure it

.PHONY: bench
bench: bench-audit bench-datastorage bench-pipeline ## every benchmark, beside its limit or its peer; one line a bar; SCALE=full for the bars' sizes

.PHONY: bench-audit
bench-audit: ## pkg/audit: Record, Flush, spool and memory; fails when a bar is missed
	@mkdir -p $(REPORTS)
	@echo "measuring pkg/audit, scale $(SCALE)"
	cd bench && GOWORK=off go run ./audit -dir $(abspath $(REPORTS))

.PHONY: bench-datastorage
bench-datastorage: ## DataStorage beside bare PostgreSQL: ingest, replays and bytes; fails when a bar is missed; INSTALL=1
	go run ./test/prepare $(INSTALL_FLAG)
	@echo "measuring DataStorage, scale $(SCALE)"
	cd bench && GOWORK=off go run ./datastorage

.PHONY: bench-pipeline
bench-pipeline: build ## the services on a real kube-apiserver and PostgreSQL; fails when a bar is missed; INSTALL=1
	go run ./test/prepare $(INSTALL_FLAG)
	@echo "measuring the pipeline, scale $(SCALE)"
	cd bench && GOWORK=off go run ./pipeline

##@ Keep it tidy

.PHONY: lint
lint: $(BIN)/golangci-lint shellcheck ## golangci-lint over both modules, with the suites, shellcheck over all scripts, no to-do notes
	$(BIN)/golangci-lint run --allow-parallel-runners --build-tags $(SUITE_TAGS) $(ALL_PACKAGES)
	cd bench && GOWORK=off ../$(BIN)/golangci-lint run --allow-parallel-runners ./...
	cd test/alerts && GOWORK=off ../../$(BIN)/golangci-lint run --allow-parallel-runners ./...
	cd hack/kind-node/src && GOWORK=off ../../../$(BIN)/golangci-lint run --allow-parallel-runners ./...
	for m in $(ADAPTERS) $(EXAMPLES); do (cd $$m && GOWORK=off $(abspath $(BIN)/golangci-lint) run --allow-parallel-runners ./...) || exit 1; done
	@! git grep -nwE 'TO''DO|FIX''ME' -- '*.go' '*.sh' '*.rego' '*.yaml' '*.md' Makefile .ci || { echo "to-do notes: do it, or say it in the issue tracker" >&2; exit 1; }

.PHONY: shellcheck
shellcheck:
	@hack/need.sh shellcheck=shellcheck
	shellcheck -x -P SCRIPTDIR hack/*.sh hack/*/*.sh .ci/run

.PHONY: vulncheck
vulncheck: $(BIN)/govulncheck ## known vulnerabilities in what the code calls, over all modules but the tools'
	$(BIN)/govulncheck -tags $(SUITE_TAGS) $(ALL_PACKAGES)
	for m in bench test/alerts hack/kind-node/src $(ADAPTERS) $(EXAMPLES); do (cd $$m && GOWORK=off $(abspath $(BIN)/govulncheck) ./...) || exit 1; done

.PHONY: fmt
fmt: $(BIN)/golangci-lint ## format the Go code
	$(BIN)/golangci-lint fmt

.PHONY: examples
examples: ## examples/, from docs/recording.md
	go test ./docs -run TestExamplesAreWhatThePageShows -write

# oapi-codegen adds a package comment, which each package has in doc.go.
OPENAPI_CODE := api/datastorage/datastorage.gen.go pkg/audit/wire/types.gen.go services/datastorage/internal/httpapi/routes/routes.gen.go

.PHONY: generate
generate: $(BIN)/controller-gen $(BIN)/oapi-codegen ## deep copies, CRDs, API types, client and server, schemas and page of events
	cd api && ../$(BIN)/controller-gen object paths=./v1alpha1 crd:crdVersions=v1 output:crd:dir=crds
	cd api/datastorage && ../../$(BIN)/oapi-codegen -config codegen.yaml openapi.yaml
	cd pkg/audit/wire && ../../../$(BIN)/oapi-codegen -config codegen.yaml ../../../api/datastorage/openapi.yaml
	cd services/datastorage/internal/httpapi/routes && ../../../../../$(BIN)/oapi-codegen -config codegen.yaml ../../../../../api/datastorage/openapi.yaml
	sed -i -e '1,/^\/\/$$/d' -e '/^\/\/ Code generated/G' $(OPENAPI_CODE)
	go run ./test/platformevents/generate

.PHONY: security-table
security-table: ## the table of docs/security.md, from test/rights
	go test ./docs -run TestTheTableOfRights -write

.PHONY: tidy
tidy: ## go mod tidy in every module, and a complete go.work.sum; no go work sync, which would raise what the library requires
	for m in $(MODULES) $(ADAPTERS) bench tools $(KIND_NODE) $(ALERTS) $(EXAMPLES); do (cd $$m && GOWORK=off go mod tidy) || exit 1; done
	go list -m all >/dev/null

.PHONY: drift drift-generated drift-modules
drift: drift-generated drift-modules ## fails when generated code, a go.mod or a checksum file differs from what is committed
drift-generated:
	hack/drift.sh --generated
drift-modules:
	hack/drift.sh --modules $(MODULES) $(ADAPTERS) bench $(KIND_NODE) $(ALERTS) $(EXAMPLES)

.PHONY: ci
ci: lint drift test mutants demo test-e2e ## what has to pass before a change lands

.PHONY: clean
clean: ## remove what was built here (what is cached outside the work tree stays)
	rm -rf $(BIN) $(REPORTS) $(SUITE) $(E2E_SUITE) $(ALERTS_SUITE)

##@ Help

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Tools are pinned in the tools module, outside the workspace, so that what they depend on never decides what the platform is built with.
TOOL_golangci-lint  := github.com/golangci/golangci-lint/v2/cmd/golangci-lint
TOOL_controller-gen := sigs.k8s.io/controller-tools/cmd/controller-gen
TOOL_oapi-codegen   := github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen
TOOL_govulncheck    := golang.org/x/vuln/cmd/govulncheck
TOOL_kind           := sigs.k8s.io/kind
TOOL_kustomize      := sigs.k8s.io/kustomize/kustomize/v5

$(BIN)/golangci-lint $(BIN)/controller-gen $(BIN)/oapi-codegen $(BIN)/govulncheck $(BIN)/kind $(BIN)/kustomize: $(BIN)/%: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	@echo "building $* (the first time this takes minutes)"
	cd tools && GOWORK=off go build -o $(abspath $@) $(TOOL_$*)
	@touch $@

# The machine's own kubectl, else one of the version that the project builds with.
$(BIN)/kubectl:
	@mkdir -p $(BIN)
	@if command -v kubectl >/dev/null; then ln -sf "$$(command -v kubectl)" $@; else \
		hack/kind-node/programs.sh kubectl && ln -sf "$${XDG_CACHE_HOME:-$$HOME/.cache}/kubernaut/kind-node/bin/kubectl" $@; fi
