# hearken: `make demo` and `make test` do everything, from nothing. `make help` lists the rest.

.DEFAULT_GOAL := help
.PHONY: help setup demo build test lint fmt install-c gstreamer voice bench bench-voice bench-peers profile bench-precision bench-vad bench-words bench-server soak-server fuzz pictures package fresh clean

CARGO := cargo
MAKEFLAGS += --no-print-directory
# One set of features for all commands, so that nothing is compiled twice.
ALL := --release --workspace --features hearken/cli
# cargo-c brings a cargo of its own, of another version: in one folder the two would undo each other's work.
CINSTALL := $(CARGO) cinstall --release --locked --package hearken --target-dir target/c
# Where `make install-c` puts the C library.
PREFIX ?= /usr/local
export CARGO_TERM_COLOR ?= $(if $(CI),never,auto)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building needs (Debian; elsewhere it says what to install)
	@.ci/setup build

demo: ## build everything, then transcribe two clips
	@.ci/setup build
	@echo "building guest and host (minutes the first time) …"
	@$(CARGO) build $(ALL)
	@target/release/hearken-demo
	@echo "the first clip as subtitles: target/release/hearken file target/demo/clip.wav -f srt"

build: ## build the library and the hearken command (target/release/hearken)
	@.ci/setup build
	@$(CARGO) build $(ALL)

test: ## run all tests
	@.ci/setup test
	@echo "building (minutes the first time) …"
	@$(CARGO) build $(ALL) --tests --bins
	@$(MAKE) voice
	@$(CARGO) nextest run $(ALL) --no-fail-fast --status-level $(if $(CI),pass,slow)
	@$(CARGO) nextest run --release --locked --manifest-path examples/gstreamer/Cargo.toml --target-dir target --no-fail-fast --status-level $(if $(CI),pass,slow)
	@$(CARGO) test $(ALL) --doc

install-c: ## build and install the C library, header and pkg-config file (PREFIX=/usr/local)
	@.ci/setup c
	@$(CINSTALL) --prefix $(PREFIX)

gstreamer: ## build the GStreamer plug-in (target/gstreamer/libgsthearken.so)
	@.ci/setup gstreamer
	@$(CARGO) build --release --locked --manifest-path examples/gstreamer/Cargo.toml --target-dir target
	@install -D -t target/gstreamer target/release/libgsthearken.so

# The C library and the plug-in, where the tests and `bench-voice` look for them; the guest is the workspace's.
voice:
	@mkdir -p target/guest/ready
	@for build in relaxed simd; do cp -u target/guest/$$build/wasm32-wasip1/release/hearken_guest.wasm \
		target/guest/ready/hearken-guest-$$build.wasm || exit 1; done
	@HEARKEN_GUEST_DIR=$(CURDIR)/target/guest/ready $(CINSTALL) --prefix $(CURDIR)/target/capi --libdir $(CURDIR)/target/capi/lib
	@$(MAKE) gstreamer

lint: ## formatting, lints, spelling, dependencies
	@.ci/setup lint
	@$(CARGO) fmt --all --check
	@$(CARGO) fmt --manifest-path examples/gstreamer/Cargo.toml --check
	@$(CARGO) clippy $(ALL) --all-targets -- -D warnings
	@$(CARGO) clippy --release --locked --manifest-path examples/gstreamer/Cargo.toml --target-dir target --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(ALL) --no-deps --quiet
	@$(CARGO) deny --log-level error check bans licenses sources
	@$(CARGO) deny --manifest-path examples/gstreamer/Cargo.toml --log-level error --config $(CURDIR)/deny.toml check bans licenses sources
	@target/tools/bin/typos

fmt: ## format the code
	@$(CARGO) fmt --all
	@$(CARGO) fmt --manifest-path examples/gstreamer/Cargo.toml

bench: ## measure hearken against native whisper.cpp, as ratios
	@.ci/setup test
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench sandbox

bench-voice: ## what the C interface and the GStreamer element cost beside the Rust library
	@.ci/setup test
	@$(CARGO) build $(ALL)
	@$(MAKE) voice
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench voice
	@$(CARGO) bench --profile release --locked --manifest-path examples/gstreamer/Cargo.toml --target-dir target --bench element

bench-peers: ## measure hearken against other engines, as ratios (needs libopenblas-pthread-dev)
	@.ci/setup peers
	@tests/peers/run

profile: ## show where the time goes, by operation, in hearken and in whisper.cpp (needs perf)
	@.ci/setup peers
	@HEARKEN_PROFILE=1 tests/peers/run

bench-precision: ## what the rounding of --compute fast costs in words (HEARKEN_REFERENCES names lists of recordings)
	@.ci/setup build
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench precision

bench-vad: ## how well voice activity finds speech in noise (HEARKEN_SPEECH and HEARKEN_NOISE name folders of recordings)
	@.ci/setup build
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench voice_activity

bench-words: ## how true the times of words are (HEARKEN_DIGITS names the recordings of the Free Spoken Digit Dataset)
	@.ci/setup build
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench word_times

bench-server: ## measure the server: capacity against native, 10,000 idle streams, admission, fairness, isolation
	@.ci/setup test
	@$(CARGO) build $(ALL) --tests --bins
	@$(CARGO) nextest run $(ALL) --test-threads 1 --success-output final \
		-E 'test(idle_streams_take) + test(ten_times_its_share) + binary(hostile_guest) & test(isolation)'
	@$(CARGO) bench --profile release --workspace --features hearken/cli --bench server

# How long, and how many streams (four fifths of the capacity, which is measured first).
SECONDS ?= 3600
STREAMS ?=
soak-server: ## four fifths of the server's capacity for an hour (SECONDS=3600): fails if memory grows or words are lost
	@.ci/setup test
	@$(CARGO) build $(ALL) --tests --bins
	@HEARKEN_SOAK_SECONDS=$(SECONDS) $(if $(STREAMS),HEARKEN_SOAK_STREAMS=$(STREAMS)) \
		$(CARGO) bench --profile release --workspace --features hearken/cli --bench server

fuzz: ## attack the compute import and what the network sends under the address sanitizer (five minutes each)
	@tests/fuzz/run

pictures: ## draw the pictures of the documentation from what the commands print
	@.ci/setup lint
	@.ci/setup test
	@target/tools/bin/pip install --quiet pyte
	@target/tools/bin/python docs/pictures/record.py docs/pictures/demo.svg 112 make demo
	@target/tools/bin/python docs/pictures/record.py --title "hearken live" --until "one two" --dim \
		docs/pictures/live.svg 72 docs/pictures/live

package: ## make the crate that carries a ready guest (target/package)
	@.ci/package

fresh: ## run demo and test in a new Debian, this machine's or DEBIAN=trixie (needs root; uses debootstrap)
	@tests/fresh-machine

clean: ## remove everything that was built
	@$(CARGO) clean
