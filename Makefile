# Causeway's front door: `make help`.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
export GOTOOLCHAIN ?= local

BIN     := $(CURDIR)/bin
PKG     := github.com/causeway-mesh/causeway
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short HEAD 2>/dev/null || true)
LDFLAGS := -s -w -X $(PKG)/federation/version.Version=$(VERSION) -X $(PKG)/federation/version.Commit=$(COMMIT)
EPOCH   ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
ARCHS   ?= amd64 arm64
comma   := ,
# Builds the kustomize bases, images and releases; its flags say what is stamped.
PACKAGE = "$(BIN)/tools/packaging" --dist "$(BIN)/dist" --version "$(VERSION)" --revision "$(or $(COMMIT),unknown)" --epoch $(EPOCH)
GOBUILD := CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)"
# -race needs cgo and a C compiler; without one the tests run without it.
RACE    = $(shell command -v gcc >/dev/null 2>&1 && [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race)
UNIT    = $(shell go list ./... 2>/dev/null | grep -v '/e2e/\(mesh\|testbed\)$$')

.PHONY: help
help: ## show this
	@grep -hE '^[a-z][a-z0-9-]*:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: prerequisites
prerequisites:
	@command -v go >/dev/null || { echo "Go 1.26 or newer is required: install it and put it on PATH" >&2; exit 1; }
	@command -v git >/dev/null || { echo "git is required: install it" >&2; exit 1; }

.PHONY: build
build: prerequisites ## build Causeway's own commands into bin/
	@echo "building causeway-operator, causeway-gateway, causewayctl, causeway-demo ($(VERSION)); some minutes from cold, seconds after"
	@mkdir -p "$(BIN)"
	@$(GOBUILD) -o "$(BIN)/" ./cmd/...
	@$(GOBUILD) -o "$(BIN)/causeway-demo" ./e2e/demo

.PHONY: assets
assets: prerequisites ## build the parts of a test cluster (API server, etcd, cert-manager …) into bin/
	@hack/build.sh

.PHONY: prometheus
prometheus: ## Debian's prometheus and promtool, which the tests run the dashboard with; installed where one is root
	@hack/prometheus.sh

.PHONY: demo
demo: assets build ## three clusters in three regions, a region dies, traffic moves; ONCE=1 exits afterwards
	@exec "$(BIN)/causeway-demo"

.PHONY: test
test: assets build prometheus ## vet, unit tests, tests against a real API server, the chart, and three process clusters end to end
	go vet ./... && go vet -tags e2ekind ./e2e/kind
	go test $(RACE) -timeout 10m $(UNIT)
	go test -timeout 10m -skip '^TestWorlds$$' ./federation/gossip ./federation/sim/... # with the files that the race detector cannot bear
	@$(MAKE) --no-print-directory sim SEEDS=20 SEED=
	@$(MAKE) --no-print-directory chart-test
	go test -count=1 -p 1 -timeout 15m ./e2e/testbed ./e2e/mesh

.PHONY: unit
unit: assets prometheus ## unit tests and tests against a real API server
	go test $(RACE) -timeout 10m $(UNIT)

# Without the race detector, which crashes in bubbles this large. A seed that fails is kept in out/sim.
SEEDS ?= 20
SIM   = go test -count=1 -timeout 24h ./federation/sim

.PHONY: sim
sim: prerequisites ## SEEDS (20) simulated federations with faults, invariants after every step; SEED= runs one again, REPEAT= times
	$(SIM) -run '^TestWorlds$$' $(if $(SEED),-v) -args -out "$(CURDIR)/out/sim" -seeds $(SEEDS) $(if $(SEED),-seed $(SEED)) $(if $(REPEAT),-repeat $(REPEAT))

.PHONY: sim-mutants
sim-mutants: prerequisites ## production code with one thing broken in it, for each invariant of the simulation: each must be caught
	$(SIM) -run '^TestBrokenMergesAreCaught$$' -v -args -mutants

.PHONY: sim-orders
sim-orders: prerequisites ## one set of signed health messages in 100,000 orders, with repetitions: one final state
	go test -count=1 -timeout 1h ./federation/gossip -run '^TestEveryOrder' -args -schedules 100000

.PHONY: chart-test
chart-test: prerequisites ## chart, kustomize bases, images and release: rendered, linted, and the same bytes twice
	cd hack/packaging && go vet ./... && go test -count=1 -timeout 5m ./... # what they read lies outside the module: no cache

.PHONY: e2e
e2e: assets build prometheus ## end-to-end tests on process clusters; RUN= selects, such as RUN=links
	go test -count=1 -p 1 -v -timeout 15m $(if $(RUN),-run '(?i)$(RUN)') ./e2e/testbed ./e2e/mesh

.PHONY: packaging-tools
packaging-tools: prerequisites ## build helm into bin/, beside the parts of a test cluster
	@hack/build.sh --packaging

.PHONY: kind-prerequisites
kind-prerequisites:
	@missing=; for tool in docker kind curl ldd; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || { echo "make e2e-kind needs on PATH:$$missing" >&2; exit 1; }
	@docker version >/dev/null 2>&1 || { echo "make e2e-kind needs a Docker engine: none answers at DOCKER_HOST='$${DOCKER_HOST:-}'" >&2; exit 1; }
	@hack/previous.sh --check

# KIND_NODE_IMAGE and KIND_CONFIG go to kind; E2E_EXEC goes before the test, for an engine in a network
# namespace of its own; E2E_KEEP=1 leaves the clusters up, E2E_REUSE=1 takes those that are.
.PHONY: e2e-kind
e2e-kind: kind-prerequisites packaging-tools build ## three real kind clusters: install, region loss, rollouts, upgrade, uninstall; RUN= selects
	@$(MAKE) --no-print-directory images ARCHS=amd64
	@hack/previous.sh
	@$(GOBUILD) -o "$(BIN)/e2e-app" ./e2e/app
	@go test -c -tags e2ekind -o "$(BIN)/e2e-kind.test" ./e2e/kind
	@cd e2e/kind && PATH="$(BIN):$$PATH" E2E_BIN="$(BIN)" E2E_OUT="$(CURDIR)/out/e2e-kind" IMAGE_TAG="$(VERSION)" \
	  $(E2E_EXEC) "$(BIN)/e2e-kind.test" -test.v -test.timeout 30m $(if $(RUN),-test.run '$(RUN)')

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each: a time (20s) or a count, such as 10000000x; FUZZ= is one package
	@for p in $$(go list $(or $(FUZZ),./...)); do \
	  for f in $$(go test -list '^Fuzz' $$p 2>/dev/null | grep ^Fuzz || true); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),20s) $$p; done; done

.PHONY: bench
bench: build assets ## the figures that exist so far: the demo's
	@ONCE=1 "$(BIN)/causeway-demo" | grep -E '^[a-z_]+ [0-9.]+ [A-Za-z]+$$'

.PHONY: bench-wan
bench-wan: prerequisites ## what the link emulator carries; also builds bin/causeway-wan
	@mkdir -p $(BIN) && $(GOBUILD) -o $(BIN)/causeway-wan ./e2e/wanctl
	@$(BIN)/causeway-wan bench

# Virtual time throughout: the figures do not depend on the machine, footprint's apart. FLIPS and KILLS make it longer.
GOSSIP_BENCH = go test -tags bench -count=1 -v -timeout 60m ./federation/gossip
GOSSIP_LINES = grep --line-buffered -E '^([a-z_0-9]+ [0-9.e-]+ [A-Za-z/]+|(--- )?FAIL.*|panic.*|    .*_test.go.*)$$'

.PHONY: bench-gossip
bench-gossip: prerequisites ## how fast a flip and a death are known at 12, 50 and 250 clusters, memberlist beside it; samples in out/bench
	@$(GOSSIP_BENCH) -run 'TestBench(Flip|FlipUnderLoss|Death)$$' -args -out $(CURDIR)/out/bench $(if $(FLIPS),-flips $(FLIPS)) $(if $(KILLS),-kills $(KILLS)) | $(GOSSIP_LINES)

# Virtual time: 12 cluster pairs of four paths each, half of them in use. HOURS= and LOSS= (0.05 is 5 %).
.PHONY: bench-loss
bench-loss: prerequisites ## how often links that only lose segments are called dead; samples in out/bench
	@go test -count=1 -v -timeout 120m ./gateway/tunnel -run 'TestLossIsNotDeath$$' -args -lossy-pairs 12 \
	  -lossy-hours $(or $(HOURS),5) -lossy-loss $(or $(LOSS),0.05) -lossy-out $(CURDIR)/out/bench | $(GOSSIP_LINES)

.PHONY: bench-false-deaths
bench-false-deaths: prerequisites ## how often gossip takes a member for dead that only loses 5 % of its segments; HOURS= (virtual, default 1)
	@$(GOSSIP_BENCH) -run 'TestBenchFalseDeaths$$' -args $(if $(HOURS),-hours $(HOURS)) | $(GOSSIP_LINES)

.PHONY: bench-false-verdicts
bench-false-verdicts: prerequisites ## verdicts that are wrong at 5 % loss: HOURS (virtual, 1) of 12 clusters, MINUTES (1) of 250; samples in out/bench
	@hack/bench-false-verdicts.sh

# The reader is a process of its own; the flooder has 12 connections to it on loopback. FOR= is how long it measures.
.PHONY: bench-flood
bench-flood: prerequisites ## what a member that would send 50,000 messages/s costs a reader (FAULTS row 20): CPU; nobody else's word changes
	@$(GOSSIP_BENCH) -run 'TestBenchFlood$$' -args -flood-for $(or $(FOR),10s) | $(GOSSIP_LINES)

.PHONY: bench-footprint
bench-footprint: prerequisites ## what 250 clusters of 1,000 endpoints cost one operator: memory, and time from nothing
	@$(GOSSIP_BENCH) -run 'TestBenchFootprint$$' | $(GOSSIP_LINES)

# One gateway, a process of its own, among 249 peer clusters of two gateways each, on loopback. PEERS=, FOR= and PROFILE= (a file).
.PHONY: bench-beats
bench-beats: prerequisites ## what beats and warm tunnels cost a gateway among 250 clusters: CPU and memory
	@go test -tags bench -count=1 -v -timeout 60m ./gateway -run 'TestBenchBeats$$' -args -beats-peers $(or $(PEERS),249) \
	  -beats-for $(or $(FOR),30s) $(if $(PROFILE),-beats-profile $(abspath $(PROFILE))) | $(GOSSIP_LINES)

# Wall clock, both sides in one run; the processor time of each beside it. PUTS (200) and STORMS (3) make it longer.
.PHONY: bench-policy
bench-policy: assets ## how fast a policy is in force at 50 and 250 agents beside a bare watch, a reader that slept, etcd restarted; samples in out/bench
	@go test -tags bench -count=1 -v -timeout 60m ./e2e/policybench -run '^TestBench' -args -out $(CURDIR)/out/bench $(if $(PUTS),-puts $(PUTS)) $(if $(STORMS),-storms $(STORMS)) | $(GOSSIP_LINES)

# A history that breaks a guarantee is kept in out/histories.
.PHONY: policy-histories
policy-histories: assets ## ROUNDS (20) of killed members, cuts and compactions under the policy store's clients, checked; MUTANTS=1 breaks them first
	@go test $(RACE) -count=1 -v -timeout 2h ./e2e/policybench -run '^TestHistoriesKeepTheGuarantees$$' -args -out "$(CURDIR)/out/histories" -rounds $(or $(ROUNDS),20) -seed $(or $(SEED),1)
	@$(if $(MUTANTS),go test -count=1 -v -timeout 2h ./e2e/policybench -run '^TestBrokenStoresAreCaught$$' -args -mutants)

.PHONY: lint
lint: ## gofmt, go vet, and golangci-lint where it is installed
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt-ed:"; echo "$$out"; exit 1; }
	go vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "golangci-lint is not installed: gofmt and go vet only"; fi

.PHONY: packaging
packaging: prerequisites
	@cd hack/packaging && CGO_ENABLED=0 go build -trimpath -o "$(BIN)/tools/packaging" .

.PHONY: dist
dist: prerequisites
	@echo "building for linux: $(ARCHS) ($(VERSION)); some minutes from cold"
	@for arch in $(ARCHS); do \
	  mkdir -p "$(BIN)/dist/linux-$$arch"; GOOS=linux GOARCH=$$arch $(GOBUILD) -o "$(BIN)/dist/linux-$$arch/" ./cmd/...; done

.PHONY: images
images: dist packaging ## images as bin/images/<name>-<arch>.tar for `kind load image-archive`; no Docker; ARCHS= selects
	@$(PACKAGE) images --archs $(subst $() ,$(comma),$(strip $(ARCHS))) --out "$(BIN)/images"

.PHONY: docker-images
docker-images: dist ## the same images by `docker build`, for the first of ARCHS
	@for name in causeway-operator causeway-gateway causewayctl; do \
	  docker build --quiet --file config/images/Dockerfile --target $$name --platform linux/$(firstword $(ARCHS)) \
	    --build-arg TARGETARCH=$(firstword $(ARCHS)) --build-arg VERSION="$(VERSION)" --build-arg REVISION="$(or $(COMMIT),unknown)" \
	    --tag causeway/$$name:$(VERSION) "$(BIN)/dist"; done

.PHONY: release
release: packaging ## everything of a release, checksummed, into bin/release/
	@rm -rf "$(BIN)/dist"
	@$(MAKE) --no-print-directory dist ARCHS="amd64 arm64"
	@mkdir -p "$(BIN)/dist/darwin-arm64"; GOOS=darwin GOARCH=arm64 $(GOBUILD) -o "$(BIN)/dist/darwin-arm64/" ./cmd/causewayctl
	@$(PACKAGE) release --out "$(BIN)/release"
	@cat "$(BIN)/release/SHA256SUMS"

.PHONY: release-check
release-check: release ## build the release once more and compare every byte
	@cp "$(BIN)/release/SHA256SUMS" "$(BIN)/release-first.sums"
	@$(MAKE) --no-print-directory release >/dev/null
	@$(PACKAGE) check --out "$(BIN)/release"
	@diff "$(BIN)/release-first.sums" "$(BIN)/release/SHA256SUMS" && rm "$(BIN)/release-first.sums" && echo "two builds gave the same bytes"

.PHONY: generate
generate: ## deep-copies, CRDs, RBAC, kustomize bases, docs/chart-values.md, protobuf
	hack/generate.sh

.PHONY: verify
verify: ## generated files, go.mod and pinned versions are up to date
	hack/verify-versions.sh
	go mod tidy -diff
	hack/generate.sh
	@git diff --exit-code -- apis config docs/chart-values.md federation/routefeed || { echo "generated files are out of date: run make generate and commit" >&2; exit 1; }

.PHONY: clean
clean: ## remove what was built and what a demo left
	rm -rf bin out
