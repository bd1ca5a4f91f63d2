# A thin index: every target is one line that calls a script. `make help` lists them.
# Nothing here asks a question; what is missing is installed, or the exact command is printed.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

node22  := tests/node_modules/node/bin/node
prepare := sh tests/scripts/prepare.sh

.PHONY: help setup tools signer edge www demo demo-stop test conformance lint docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

setup: ## system packages that are missing (apt-get as root; elsewhere prints the command)
	@$(prepare) system rust

tools: ## wasm-pack, worker-build, wasm-bindgen into target/tools, Node 22 and the npm packages by lock file
	@$(prepare) tools npm-tests npm-edge npm-www

signer: ## the native signer: target/debug/edgeseal
	@$(prepare) signer

edge: ## the npm package, the Worker and its static pages
	@$(prepare) edge www

www: ## the playground alone (needs the npm package)
	@$(prepare) www

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

lint: ## formatting, clippy natively and for wasm32, the bare core build, rustdoc
	@$(prepare) rust
	@node tests/scripts/lint.mjs

docs: ## the crates' documentation: target/doc
	@$(prepare) rust
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

clean: ## everything that was built
	@rm -rf target edge-wasm/build edge-wasm/npm/dist edge-wasm/npm/wasm www/dist .wrangler
