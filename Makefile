# hearken: `make demo` and `make test` do everything, from nothing. `make help` lists the rest.

.DEFAULT_GOAL := help
.PHONY: help setup demo models build check check-lints check-tests test test-programs test-data lint fmt install-c gstreamer media-ffmpeg voice wasi demo-web web bench bench-voice bench-peers profile bench-precision bench-media bench-vad bench-words bench-web bench-wasi bench-server neighbors chaos soak-server fuzz loom pictures sbom package release-check fresh clean

CARGO := cargo
MAKEFLAGS += --no-print-directory
# One selection of packages and features for all commands, whatever they build of it: features of shared dependencies
# follow from it, and with others they would be compiled again.
ALL := --release --workspace
HEARKEN := target/release/hearken
# Where `make install-c` puts the C library.
PREFIX ?= /usr/local
export CARGO_TERM_COLOR ?= $(if $(CI),never,auto)
# A test takes two threads, or one if it mostly waits (.config/nextest.toml).
export NEXTEST_TEST_THREADS ?= $(shell echo $$((3 * $$(nproc))))

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what building needs (Debian; elsewhere it says what to install)
	@.ci/setup build

demo: ## build the command, then transcribe people who speak English: text, subtitles, live
	@.ci/setup demo
	@echo "building (minutes the first time) …"
	@$(CARGO) build $(ALL) --bin hearken --bin hearken-demo
	@scripts/models $(HEARKEN) tiny.en || echo "going on with the small model inside hearken"
	@target/release/hearken-demo

models: ## put whisper.cpp's tiny.en and base into the user's store
	@.ci/setup demo
	@$(CARGO) build $(ALL) --bin hearken
	@scripts/models $(HEARKEN)

build: ## build the hearken command (target/release/hearken)
	@.ci/setup build
	@$(CARGO) build $(ALL) --bin hearken

# What is compiled while one works is compiled again and again: incrementally. The files are others than those of the
# other commands.
check check-lints check-tests: export CARGO_INCREMENTAL = 1
check: ## while you work: formatting, lints, and the tests that need neither an official model, a server nor a sound system
	@$(CARGO) fmt --all --check
	@$(MAKE) --jobs 2 check-lints check-tests

# Beside the tests' build, which mostly keeps one core busy, so in a folder of its own: cargo locks one.
check-lints:
	@$(CARGO) clippy --quiet $(ALL) --all-targets --target-dir target/lints -- -D warnings

# Without the four that take longest. The library is compiled in many parts here, of which a change makes few again.
check-tests:
	@$(CARGO) nextest run $(ALL) --config profile.release.package.hearken.codegen-units=256 --lib --bin hearken --test session --test bad_input --test words --status-level slow \
		-E 'not test(/memory_estimate_covers|weights_of_every_format|a_damaged_cache_is_made|a_monologue_without_a_pause/)'

test: ## run all tests
	@.ci/setup test
	@echo "building (minutes the first time) …"
	@# Clients of PyPI and npm, and FFmpeg's libraries, on the processor that cargo leaves idle.
	@mkdir -p target; .ci/setup clients & clients=$$!; scripts/media-ffmpeg >target/media-ffmpeg.log 2>&1 & ffmpeg=$$!; \
		$(CARGO) build $(ALL) --lib --bins; built=$$?; \
		wait $$ffmpeg; added=$$?; cat target/media-ffmpeg.log; wait $$clients && [ $$built = 0 ] || exit 1; \
		[ $$added = 0 ] || [ $$added = 75 ]
	@# And so the modules for browsers and the page, beside the tests.
	@$(MAKE) --jobs 2 test-programs test-data
	@# Examples of the documentation beside the first tests, which mostly wait. The listener has the host's sources, whose
	@# examples name the host's crate.
	@$(CARGO) test $(ALL) --exclude hearken-listener --doc >target/doctests.log 2>&1 & doctests=$$!; \
		$(CARGO) nextest run $(ALL) --no-fail-fast --status-level $(if $(CI),pass,slow); tested=$$?; \
		wait $$doctests || { cat target/doctests.log; exit 1; }; exit $$tested

test-programs:
	@$(CARGO) build $(ALL) --lib --bins --tests --examples

# What tests need besides programs.
test-data:
	@tests/loom/run
	@scripts/models $(HEARKEN) || [ -z "$(CI)" ]
	@$(MAKE) voice
	@target/release/hearken-wasi --relaxed-simd-only
	@$(MAKE) web

install-c: ## build and install the C library, header and pkg-config file (PREFIX=/usr/local)
	@.ci/setup build
	@$(CARGO) build --release --package hearken-c
	@scripts/install-c target/release $(PREFIX)

gstreamer: ## build the GStreamer plug-in (target/gstreamer/libgsthearken.so)
	@.ci/setup gstreamer
	@$(CARGO) build --release --package gst-plugin-hearken
	@install -D -t target/gstreamer target/release/libgsthearken.so

media-ffmpeg: ## build FFmpeg's libraries as a module that decodes more recordings (target/media-ffmpeg/ffmpeg.wasm)
	@.ci/setup ffmpeg
	@scripts/media-ffmpeg

wasi: ## build hearken.wasm, the command for any WASI runtime, and a browser's modules (target/wasi)
	@.ci/setup build
	@$(CARGO) build $(ALL) --bin hearken-wasi
	@target/release/hearken-wasi

demo-web: ## build and serve the page that transcribes in the browser (PORT=8123, MODEL=FILE)
	@.ci/setup web
	@$(MAKE) wasi web
	@$(CARGO) build $(ALL) --bin hearken
	@scripts/models $(HEARKEN) tiny.en || echo "going on without a model: choose a file in the page"
	@model=$${MODEL:-$$($(HEARKEN) models path tiny.en 2>/dev/null || true)}; \
		target/runtimes/bin/node examples/browser/serve.mjs target/web --isolated --port $${PORT:-8123} $${model:+--model "$$model"}

# The page and its library, where the tests and `demo-web` look for them.
web:
	@examples/browser/build

# The C library and the plug-in of `cargo build --lib`, where the tests and `bench-voice` look for them.
voice:
	@scripts/install-c target/release target/capi >/dev/null
	@install -D -t target/gstreamer target/release/libgsthearken.so

lint: ## formatting, lints, spelling, dependencies; advisories where HEARKEN_ADVISORIES names a checkout of RustSec's database
	@.ci/setup lint
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy $(ALL) --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(ALL) --no-deps --quiet
	@$(CARGO) deny --log-level error check bans licenses sources
	@if [ -n "$(HEARKEN_ADVISORIES)" ]; then scripts/advisories "$(HEARKEN_ADVISORIES)"; fi
	@$(CARGO) update --dry-run --package wasmtime 2>&1 | sed -n 's/^ *Updating \(wasmtime v.*\)/newer of the same line: \1/p'
	@target/tools/bin/typos

fmt: ## format the code
	@$(CARGO) fmt --all

bench: ## measure hearken against native whisper.cpp, as ratios
	@.ci/setup test
	@$(CARGO) bench --profile release --workspace --bench sandbox

bench-voice: ## what the C interface and the GStreamer element cost beside the Rust library
	@.ci/setup test
	@$(CARGO) build $(ALL) --lib --bins
	@$(MAKE) voice
	@$(CARGO) bench --profile release --workspace --bench voice --bench element

bench-peers: ## measure hearken against other engines, as ratios (needs libopenblas-pthread-dev)
	@.ci/setup peers
	@tests/peers/run

profile: ## show where the time goes, by operation, in hearken and in whisper.cpp (needs perf)
	@.ci/setup peers
	@HEARKEN_PROFILE=1 tests/peers/run

bench-precision: ## what the rounding of --compute fast costs in words (HEARKEN_REFERENCES names lists of recordings, HEARKEN_MODELS models)
	@.ci/setup build
	@$(CARGO) bench --profile release --workspace --bench precision

bench-media: ## how fast recordings are decoded in the sandbox, by either module, beside ffmpeg
	@.ci/setup test
	@scripts/media-ffmpeg
	@$(CARGO) bench --profile release --workspace --bench media

bench-vad: ## how well voice activity finds speech in noise (HEARKEN_SPEECH and HEARKEN_NOISE name folders of recordings)
	@.ci/setup build
	@$(CARGO) bench --profile release --workspace --bench voice_activity

bench-words: ## how true the times of words are (HEARKEN_DIGITS names the recordings of the Free Spoken Digit Dataset)
	@.ci/setup build
	@$(CARGO) bench --profile release --workspace --bench word_times

bench-web: ## measure the recognizer in Chromium, which must be installed, beside other builds of Whisper from npm (MODEL=FILE WAV=FILE ROUNDS=3 THREADS=1)
	@.ci/setup web
	@$(MAKE) wasi web
	@cd examples/browser/bench && ../build npm ci --ignore-scripts --no-audit --no-fund --silent
	@target/runtimes/bin/node examples/browser/bench/bench.mjs $(MODEL) $(WAV) $(or $(ROUNDS),3) $(or $(THREADS),1)

bench-wasi: ## measure hearken in every engine beside whisper.cpp's and transcribe.js's builds, candle and rten (WAV=FILE MODELS=FILES ROUNDS=2)
	@.ci/setup web
	@$(MAKE) build wasi web
	@cd examples/browser/bench && ../build npm ci --ignore-scripts --no-audit --no-fund --silent
	@tests/peers/wasm/run

bench-server: ## measure the server: capacity against native, 10,000 idle streams, admission, fairness, isolation
	@.ci/setup test
	@$(CARGO) build $(ALL) --tests --bins
	@$(CARGO) nextest run $(ALL) --test-threads 1 --success-output final \
		-E 'test(idle_streams_take) + test(ten_times_its_share) + binary(hostile_guest) & test(isolation)'
	@$(CARGO) bench --profile release --workspace --bench server

neighbors: ## what one tenant does to each resource, and how much later another one's final texts are (at most 1.5 times)
	@.ci/setup test
	@$(CARGO) build $(ALL) --tests --bins
	@HEARKEN_NEIGHBORS=1 $(CARGO) nextest run $(ALL) --test-threads 1 --no-fail-fast --success-output final -E 'binary(neighbors)'

# How long, and how many streams (four fifths of the capacity, which is measured first).
SECONDS ?= 3600
STREAMS ?=
chaos: ## accidents of workers and of NATS at random for an hour (HEARKEN_CHAOS_SECONDS, HEARKEN_CHAOS_SEED), while speech is streamed
	@.ci/setup clients
	@$(CARGO) build $(ALL) --tests --bins
	@HEARKEN_CHAOS_SECONDS=$${HEARKEN_CHAOS_SECONDS:-3600} $(CARGO) test $(ALL) --test cluster -- --nocapture \
		accidents_cost_no_committed_word

soak-server: ## four fifths of the server's capacity for an hour (SECONDS=3600): fails if memory grows or words are lost
	@.ci/setup test
	@$(CARGO) build $(ALL) --tests --bins
	@HEARKEN_SOAK_SECONDS=$(SECONDS) $(if $(STREAMS),HEARKEN_SOAK_STREAMS=$(STREAMS)) \
		$(CARGO) bench --profile release --workspace --bench server

fuzz: ## attack guests, kernels, files and what the network sends under the address sanitizer (five minutes each, or HOURS=N)
	@tests/fuzz/run $(if $(HOURS),$$(($(HOURS) * 3600)))

loom: ## try every order in which the steps of threads may come, where data is shared without waiting
	@tests/loom/run

pictures: ## draw the pictures of the documentation from what the commands print
	@.ci/setup lint
	@.ci/setup test
	@target/tools/bin/pip install --quiet pyte
	@target/tools/bin/python docs/pictures/record.py docs/pictures/demo.svg 112 make demo
	@target/tools/bin/python docs/pictures/record.py --title "hearken live" --until "one two" --dim \
		docs/pictures/live.svg 72 docs/pictures/live

SBOM = $(CARGO) cyclonedx --quiet --manifest-path host/cli/Cargo.toml --format json --spec-version 1.5 --describe crate
sbom: ## write software bills of materials of the command and of the guests inside, in CycloneDX's format (target/sbom)
	@.ci/setup sbom
	@# Each run writes one for each package of the workspace, beside its manifest.
	@$(SBOM)
	@mkdir -p target/sbom
	@mv host/cli/hearken-cli.cdx.json target/sbom/hearken.cdx.json
	@$(SBOM) --target wasm32-wasip1
	@mv guest/hearken-guest.cdx.json guest/media/hearken-media.cdx.json target/sbom/
	@find proto guest host tests examples -name '*.cdx.json' -not -path '*/node_modules/*' -delete
	@ls target/sbom/*.json

package: ## make the crate that carries a ready guest (target/package)
	@.ci/package

release-check: ## what a release needs besides lint and test: public types, features, oldest versions, breaking changes, packages
	@.ci/setup release
	@scripts/release-check

fresh: ## run demo and test in a new Debian, this machine's or DEBIAN=trixie (needs root; uses debootstrap)
	@tests/fresh-machine

clean: ## remove everything that was built
	@$(CARGO) clean
