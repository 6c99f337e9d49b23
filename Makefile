# hearken: `make demo` and `make test` do everything, from nothing. `make help` lists the rest.

.DEFAULT_GOAL := help
.PHONY: help setup demo build test lint fmt bench bench-peers bench-precision fuzz pictures package fresh clean

CARGO := cargo
MAKEFLAGS += --no-print-directory
# One set of features for all commands, so that nothing is compiled twice.
ALL := --release --workspace --features hearken/cli
export CARGO_TERM_COLOR ?= $(if $(CI),never,auto)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building needs (Debian; elsewhere it says what to install)
	@.ci/setup build

demo: ## build everything, then transcribe a clip
	@.ci/setup build
	@echo "building guest and host (minutes the first time) …"
	@$(CARGO) build $(ALL)
	@target/release/hearken-demo
	@echo "the same clip as subtitles: target/release/hearken file target/demo/clip.wav -f srt"

build: ## build the library and the hearken command (target/release/hearken)
	@.ci/setup build
	@$(CARGO) build $(ALL)

test: ## run all tests
	@.ci/setup test
	@echo "building (minutes the first time) …"
	@$(CARGO) build $(ALL) --tests --bins
	@$(CARGO) nextest run $(ALL) --no-fail-fast --status-level $(if $(CI),pass,slow)
	@$(CARGO) test $(ALL) --doc

lint: ## formatting, lints, spelling, dependencies
	@.ci/setup lint
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy $(ALL) --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(ALL) --no-deps --quiet
	@$(CARGO) deny --log-level error check bans licenses sources
	@target/tools/bin/typos

fmt: ## format the code
	@$(CARGO) fmt --all

bench: ## measure hearken against native whisper.cpp, as ratios
	@.ci/setup test
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench sandbox

bench-peers: ## measure hearken against other engines, as ratios (needs libopenblas-pthread-dev)
	@.ci/setup peers
	@tests/peers/run

bench-precision: ## what the rounding of --compute fast costs in words (HEARKEN_REFERENCES names lists of recordings)
	@.ci/setup build
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench precision

fuzz: ## attack the compute import under the address sanitizer (five minutes)
	@tests/fuzz/run

pictures: ## draw the pictures of the documentation from what the commands print
	@.ci/setup lint
	@.ci/setup test
	@target/tools/bin/pip install --quiet pyte
	@target/tools/bin/python docs/pictures/record.py docs/pictures/demo.svg 112 make demo
	@target/tools/bin/python docs/pictures/record.py --title "hearken live" --until "three four" \
		docs/pictures/live.svg 72 docs/pictures/live

package: ## make the crate that carries a ready guest (target/package)
	@.ci/package

fresh: ## run demo and test in a new Debian (needs root; uses debootstrap)
	@tests/fresh-machine

clean: ## remove everything that was built
	@$(CARGO) clean
