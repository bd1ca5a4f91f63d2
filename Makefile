# A thin index: every target is one line that calls a script. `make help` lists them.
# Nothing here asks a question; what is missing is installed, or the exact command is printed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

node22  := tests/node_modules/node/bin/node
prepare := sh tests/scripts/prepare.sh

.PHONY: help setup tools signer kryoptic edge www console demo demo-stop test conformance bench screens lint docs clean \
	fuzz fuzz-smoke mutants miri simulate p256-differential

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  make %-18s %s\n' "$$name" "$$what"; done

setup: ## system packages that are missing (apt-get as root; elsewhere prints the command)
	@$(prepare) system rust

tools: ## wasm-pack, wasm-bindgen into target/tools, Node 22 and the npm packages by lock file
	@$(prepare) tools npm-tests npm-edge npm-www

signer: ## the native signer, and SoftHSM to try it with: target/debug/edgeseal
	@$(prepare) signer softhsm

kryoptic: ## a PKCS#11 module in Rust, for the signer's tests: target/kryoptic/libkryoptic_pkcs11.so
	@$(prepare) kryoptic

edge: ## the npm package, the Worker and its static pages
	@$(prepare) edge www

www: ## documentation and playground, and the npm package and Worker that they need
	@$(prepare) www

console: ## the signer's web console, which `make signer` embeds: www/console/dist
	@$(prepare) console

demo: ## the main job on this machine: HSM, signer, Worker, browser (KEEP=1 leaves it running)
	@$(prepare) demo
	@KEEP="$(KEEP)" $(node22) tests/demo/demo.mjs

demo-stop: ## end exactly what `make demo KEEP=1` started
	@node tests/demo/stop.mjs

test: ## everything: unit, doc, conformance on every host, end to end
	@$(prepare) test
	@$(node22) tests/scripts/test.mjs

conformance: ## CORPUS=file.jsonl HOST=native|node|workerd|chromium|all OUT=verdicts.jsonl
	@$(prepare) conformance
	@CORPUS="$(CORPUS)" HOST="$(HOST)" OUT="$(OUT)" $(node22) tests/conformance/run.mjs

bench: ## side by side with jose and others on every host: target/bench/report.md (HOST=workerd,node ALG=ES256 for some of it)
	@$(prepare) bench
	@HOST="$(HOST)" ALG="$(ALG)" $(node22) tests/bench/bench.mjs

screens: ## pictures of console, playground and documentation at three widths in both themes: target/screens (needs a browser; three minutes after the build)
	@$(prepare) demo
	@$(node22) www/scripts/screens.mjs
	@$(node22) tests/demo/console-screens.mjs

lint: ## formatting, clippy natively and for wasm32, the bare core build, rustdoc
	@$(prepare) rust
	@node tests/scripts/lint.mjs

fuzz-smoke: ## every fuzz target for a minute, or MINUTES=0.1
	@$(prepare) rust
	@sh tests/scripts/proof-tools.sh cargo-fuzz
	@node tests/scripts/fuzz.mjs --minutes "$(or $(MINUTES),1)"

fuzz: ## every fuzz target for MINUTES=10, or ONLY=token,claims
	@$(prepare) rust
	@sh tests/scripts/proof-tools.sh cargo-fuzz
	@node tests/scripts/fuzz.mjs --minutes "$(or $(MINUTES),10)" --only "$(ONLY)"

mutants: ## changes in core that no test notices (two hours of one core; ONLY=verify.rs; CONTINUE=1 leaves out what was caught before)
	@$(prepare) rust
	@sh tests/scripts/proof-tools.sh cargo-mutants
	@mkdir -p target/mutants
	@EDGESEAL_SEED=1 target/tools/bin/cargo-mutants mutants --config tests/mutants.toml -p edgeseal-core --timeout 60 -o target/mutants $(if $(ONLY),--re "$(ONLY)") $(if $(CONTINUE),--iterate)

miri: ## core's unit tests, without the arithmetic, under Miri (needs: rustup toolchain install nightly -c miri -c rust-src)
	@MIRIFLAGS="-Zmiri-disable-isolation" cargo +nightly miri test -p edgeseal-core --lib --target-dir target/miri -- --skip backend:: --skip json::double:: --skip json::number::

simulate: ## the key cache against a simulated issuer; SEED=7 runs one seed, SEEDS=100 so many
	@EDGESEAL_SEED="$(SEED)" EDGESEAL_SEEDS="$(SEEDS)" cargo test --locked -p edgeseal-core --test jwks_cache_simulation -- --nocapture

p256-differential: ## ten million signatures by tables and by p256, in both fields (SIGNATURES=1000000, SEED=1)
	@export EDGESEAL_P256_SIGNATURES="$(or $(SIGNATURES),10000000)" EDGESEAL_SEED="$(or $(SEED),1)"; \
	run="cargo test --locked --release -p edgeseal-core --test p256_differential"; \
	$$run -- --nocapture && RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/tests/scripts/field29.sh" $$run -- --nocapture

docs: ## the crates' documentation: target/doc
	@$(prepare) rust
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

clean: ## everything that was built; a demo that runs is ended first
	@if [ -e target/demo/running.json ] && command -v node >/dev/null; then node tests/demo/stop.mjs; fi
	@rm -rf target edge-wasm/build edge-wasm/npm/dist edge-wasm/npm/wasm www/dist www/console/dist .wrangler
