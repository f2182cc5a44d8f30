# What CI runs is "make test"; see CONTRIBUTING.md.

SHELL := /bin/sh
GO    ?= go
# Daemons that tests start live where users' PATH does not lead.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

# Debian packages that tests use when they are there.
TEST_PACKAGES := bind9 bird2 ca-certificates curl exabgp frr gcc git haproxy iproute2 knot libc6-dev libnginx-mod-stream nftables nginx openssh-client openssh-server redis-server unbound

# To git a clone that belongs to someone else is no repository, and go build then fails.
ifneq ($(shell git rev-parse HEAD >/dev/null 2>&1 && echo yes),yes)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

# Data races of other projects that we cannot avoid, each with its reason.
export GORACE := suppressions=$(CURDIR)/tools/race-suppressions

# Compilers of the guests. AssemblyScript's is fetched by npx, Go's is there.
TOOLCHAINS := clang libclang-rt-14-dev-wasm32 libstd-rust-dev-wasm32 lld rustc wabt wasi-libc
ifeq ($(shell command -v npx),)
TOOLCHAINS += npm
endif

BENCHTIME ?= 300ms
FUZZTIME  ?= 10s
LAB_RUNS  ?= 3
SOAK      ?= 1000000
LINT      := $(GO) tool -modfile=tools/go.mod golangci-lint run

# Wasmer's library, as wasmer-go brings it, for the build that has this engine too.
WASMER_OUT := terrane-wasmer
WASMER      = $(shell $(GO) mod download github.com/wasmerio/wasmer-go && $(GO) list -m -f '{{.Dir}}' github.com/wasmerio/wasmer-go)/wasmer/packaged
WASMER_LIB  = $(WASMER)/lib/$(shell $(GO) env GOOS)-$(subst arm64,aarch64,$(shell $(GO) env GOARCH))

.PHONY: all build build-wasmer test packages toolchains check lint audit unit wasmer e2e bench lab soak reliability fuzz examples clean
all: build

build: ## one static binary, ./terrane
	CGO_ENABLED=0 $(GO) build -trimpath -o terrane ./cmd/terrane

# The library is looked for beside the binary, and in ../lib.
build-wasmer: ## a binary with the engine wasmer too, and its library, in $(WASMER_OUT)/: needs gcc
	mkdir -p $(WASMER_OUT)
	CGO_ENABLED=1 CGO_CFLAGS='-O2 -I$(WASMER)/include' CGO_LDFLAGS='-L$(WASMER_LIB) -lwasmer -Wl,-rpath,$$ORIGIN:$$ORIGIN/../lib' \
		$(GO) build -trimpath -tags engine_wasmer,custom_wasmer_runtime -o $(WASMER_OUT)/terrane ./cmd/terrane
	install -m 755 $(WASMER_LIB)/libwasmer.so $(WASMER_OUT)/

test: packages check build unit wasmer e2e

packages: ## as root on Debian: install what tests need, and say what
	@tools/packages $(TEST_PACKAGES)

toolchains: ## likewise, what guests are built with
	@tools/packages $(TOOLCHAINS)

check: lint
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted by gofmt: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...

lint:
	$(LINT)

audit: ## known vulnerabilities that the code reaches, else modules with newer versions
	@GO=$(GO) tools/audit

# -count=1: the tests look at files and run programs that go test knows nothing of.
unit: ## all packages but the lab, README and rules of the repository included
	$(GO) test -race -count=1 -timeout 30m $$($(GO) list ./... | grep -v /internal/lab$$)

wasmer: ## lint and tests of the build with the engine wasmer: skipped without gcc, and says so
ifeq ($(shell command -v gcc),)
	@echo "wasmer: skipped: there is no gcc"
else
	$(LINT) --build-tags engine_wasmer ./internal/engine/... ./internal/edge/... ./server/... ./cmd/...
	$(GO) test -race -count=1 -timeout 10m -tags engine_wasmer ./internal/engine/wasmerengine
	$(GO) test -race -count=1 -timeout 10m -tags engine_wasmer -run '^Test(Guests|Traps|Deadline|Visitor|Stream|Neighbour|NoRequest|Soak)' ./server
	$(GO) test -race -count=1 -timeout 10m -tags engine_wasmer -run '^Test(Scripts|Wasmer)' ./cmd/terrane
	$(GO) test -race -count=1 -timeout 10m -tags engine_wasmer -run '^TestFaults' ./internal/edge
endif

e2e: ## the network in namespaces: skipped without root, and says so
	$(GO) test -race -count=1 -timeout 30m -v ./internal/lab

bench: ## every benchmark, one package after the other
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -p 1 $$($(GO) list ./... | grep -v /internal/lab$$)
	$(GO) test -run '^$$' -bench . -benchtime 20x ./internal/lab
ifneq ($(shell command -v gcc),)
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -tags engine_wasmer ./internal/engine/wasmerengine
	$(GO) test -run '^$$' -bench HTTP -benchtime $(BENCHTIME) -tags engine_wasmer ./server
endif

lab: ## the anycast experiments of docs/anycast.md, with figures of LAB_RUNS runs: as root, many minutes
	@tools/packages $(TEST_PACKAGES) httping mtr-tiny
	$(GO) test -count=1 -timeout 5h -v -run '^TestAnycast(Outage|Regions|Spread|Idle|Flap)' ./internal/lab -args -lab.runs=$(LAB_RUNS)

soak: ## SOAK requests through the server: nothing may be left behind
	$(GO) test -count=1 -timeout 2h -v -run '^TestSoak$$' ./server -args -soak.requests=$(SOAK)

reliability: ## every fault campaign in full, as a table: as root, many minutes; CAMPAIGN=NAME runs one
	@tools/packages $(TEST_PACKAGES)
	@GO="$(GO)" tools/reliability '^$(or $(CAMPAIGN),TestCampaign)'

fuzz: ## each fuzz target for FUZZTIME
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's,/[^/]*:func , ,' | while read -r dir name; do \
		echo "$$dir $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; done

examples: toolchains ## rebuild the committed guests from their sources, those of tests too; needs their compilers
	$(MAKE) -B -C examples
	for file in $$(git ls-files '*/Makefile' ':!examples/*'); do $(MAKE) -B -C "$${file%/*}" || exit 1; done

clean:
	rm -rf terrane $(WASMER_OUT)
