# What CI runs is "make test"; see CONTRIBUTING.md.

SHELL := /bin/sh
GO    ?= go
# Daemons that tests start live where users' PATH does not lead.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin

# Debian packages that tests use when they are there.
TEST_PACKAGES := bind9 bird2 ca-certificates curl frr gcc git iproute2 knot libc6-dev unbound

# To git a clone that belongs to someone else is no repository, and go build then fails.
ifneq ($(shell git rev-parse HEAD >/dev/null 2>&1 && echo yes),yes)
export GOFLAGS := $(GOFLAGS) -buildvcs=false
endif

# Compilers of the guests. AssemblyScript's is fetched by npx, Go's is there.
TOOLCHAINS := clang libclang-rt-14-dev-wasm32 libstd-rust-dev-wasm32 lld rustc wabt wasi-libc
ifeq ($(shell command -v npx),)
TOOLCHAINS += npm
endif

BENCHTIME ?= 300ms
FUZZTIME  ?= 10s
LAB_RUNS  ?= 3
LINT      := $(GO) tool -modfile=tools/go.mod golangci-lint run

.PHONY: all build test packages toolchains check lint unit e2e bench lab fuzz examples clean
all: build

build: ## one static binary, ./terrane
	CGO_ENABLED=0 $(GO) build -trimpath -o terrane ./cmd/terrane

test: packages check build unit e2e

packages: ## as root on Debian: install what tests need, and say what
	@tools/packages $(TEST_PACKAGES)

toolchains: ## likewise, what guests are built with
	@tools/packages $(TOOLCHAINS)

check: lint
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted by gofmt: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...

lint:
	$(LINT)

# -count=1: the tests look at files and run programs that go test knows nothing of.
unit: ## all packages but the lab, README and rules of the repository included
	$(GO) test -race -count=1 -timeout 15m $$($(GO) list ./... | grep -v /internal/lab$$)

e2e: ## the network in namespaces: skipped without root, and says so
	$(GO) test -race -count=1 -timeout 10m -v ./internal/lab

bench: ## every benchmark, one package after the other
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) -p 1 $$($(GO) list ./... | grep -v /internal/lab$$)
	$(GO) test -run '^$$' -bench . -benchtime 20x ./internal/lab

lab: ## the anycast experiments of docs/anycast.md, with figures of LAB_RUNS runs: as root, many minutes
	@tools/packages $(TEST_PACKAGES) frr
	$(GO) test -count=1 -timeout 5h -v -run '^TestAnycast' ./internal/lab -args -lab.runs=$(LAB_RUNS)

fuzz: ## each fuzz target for FUZZTIME
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's,/[^/]*:func , ,' | while read -r dir name; do \
		echo "$$dir $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" || exit 1; done

examples: toolchains ## rebuild the committed guests from their sources, those of tests too; needs their compilers
	$(MAKE) -B -C examples
	for file in $$(git ls-files '*/Makefile' ':!examples/*'); do $(MAKE) -B -C "$${file%/*}" || exit 1; done

clean:
	rm -f terrane
