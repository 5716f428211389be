# make          builds, vets, lints and tests: what a change must pass
# make test     vets, lints and tests, and installs what is missing for it
#
# All that is needed is Go; with a C compiler there is the race detector, and
# transport/zmq, for which libzmq is installed where it is missing (Debian). The tests
# in internal/interop run where Python and Node have ZeroMQ, see there.

GO        ?= go
FUZZTIME  ?= 10s
BENCHTIME ?= 1s

LINT_VERSION := v2.15.0
LINT         := bin/golangci-lint-$(LINT_VERSION)

# Go itself knows whether there is a C compiler.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

.PHONY: all
all: build test

.PHONY: build
build: libzmq
	$(GO) build ./...

.PHONY: vet
vet:
	$(GO) vet ./...

.PHONY: lint
lint: $(LINT)
	$(LINT) config verify
	$(LINT) run

.PHONY: fmt
fmt: $(LINT)
	$(LINT) fmt

# Built from source, so that the module proxy's checksums vouch for it and it
# understands the Go version in use.
$(LINT):
	GOBIN="$(CURDIR)/bin" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $@

.PHONY: test
test: libzmq vet lint race-detector
	$(GO) test $(RACE) -shuffle=on ./...

# Three times over, to find tests that fail now and then.
.PHONY: test-race-count
test-race-count: race-detector
	$(GO) test $(RACE) -shuffle=on -count=3 ./...

# Brokers, workers and clients on a network of namespaces, which break. It needs root,
# and ip and tc (Debian: iproute2), and fails without. REST is how long the crowd of
# 2,000 is watched; what is stated in the docs is of 10m. No race detector: it would
# be what is measured.
REST ?= 1m
.PHONY: test-netns
test-netns:
	MESH_REQUIRE=netns $(GO) test -count=1 -timeout=40m -v ./internal/netns -rest=$(REST)

# Many more seeds of the simulation than the ordinary suite has time for.
SEEDS ?= 10000

.PHONY: test-sim
test-sim:
	$(GO) test ./internal/sim -run='^TestSim$$' -seeds=$(SEEDS) -timeout=60m

# The benchmarks are a module of their own.
.PHONY: test-bench
test-bench:
	cd bench && $(GO) vet ./... && $(GO) test ./...

.PHONY: test-nocgo
test-nocgo:
	CGO_ENABLED=0 $(GO) build ./...
	CGO_ENABLED=0 $(GO) test -shuffle=on ./...

# With cgo, transport/zmq is built, which needs libzmq.
.PHONY: libzmq
libzmq:
	@if [ -n "$(RACE)" ] && ! pkg-config --exists libzmq 2>/dev/null; then \
		if ! command -v apt-get >/dev/null; then \
			echo "Install libzmq and pkg-config, or set CGO_ENABLED=0." >&2; exit 1; \
		fi; \
		$$([ "$$(id -u)" = 0 ] || echo sudo) sh -c 'apt-get update -qq && apt-get install -qq -y --no-install-recommends pkg-config libzmq3-dev'; \
	fi

# Somebody at home may do without the race detector; continuous integration not.
.PHONY: race-detector
race-detector:
	@if [ -z "$(RACE)" ]; then \
		echo "No C compiler, so there is no race detector." >&2; \
		test -z "$$CI"; \
	fi

.PHONY: bench
bench:
	$(GO) test -run='^$$' -bench=. -benchmem -benchtime=$(BENCHTIME) ./...

# Each fuzz target for a short while.
.PHONY: fuzz
fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list='^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) $$pkg; \
		done; \
	done

.PHONY: cover
cover:
	$(GO) test -covermode=atomic -coverpkg=./... -coverprofile=coverage.out ./...
	$(GO) tool cover -func=coverage.out

.PHONY: clean
clean:
	rm -rf bin coverage.out
