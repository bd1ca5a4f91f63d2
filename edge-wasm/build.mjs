// Builds the npm package and the Worker: `node edge-wasm/build.mjs [npm|worker]`, both without an argument; `fault` is a test's.
//
// Tools: wasm-pack and wasm-bindgen on PATH or in target/tools/bin (`make tools`); wasm-opt, esbuild and tsc
// from edge-wasm/npm/node_modules (`npm --prefix edge-wasm/npm ci`). Nothing is downloaded here. What was built from the same
// sources before is not built again.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, delimiter, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const npm = join(here, "npm");
const modules = join(npm, "node_modules");

// What a browser or a Worker downloads, gzip -9, in units of 1000 bytes.
const LIMIT_KB = { edge: 120, full: 260, script: 20, worker: 300 };

// The npm package's two modules: what workerd and browsers load, and the one that has the pure-Rust reference too.
const BUILDS = { edge: "npm", full: "npm,rustcrypto" };

const doors = { npm: buildNpm, worker: buildWorker, fault: buildFault };
const asked = process.argv.slice(2);
for (const door of asked.length > 0 ? asked : ["npm", "worker"]) {
  if (!(door in doors)) fail(`there is no "${door}" to build: ${Object.keys(doors).join(" or ")}`);
  doors[door](digest());
}

function buildNpm(sources) {
  const out = join(npm, "wasm");
  const stamp = join(out, ".sources");
  const weighAll = () => {
    for (const build of Object.keys(BUILDS)) weigh(`npm package, WASM, ${build} build`, LIMIT_KB[build], [join(out, `${build}_bg.wasm`)]);
    weigh("npm package, JavaScript", LIMIT_KB.script, [...imported(join(npm, "dist", "browser.js"))]);
  };
  if (isStamped(stamp, sources) && existsSync(join(npm, "dist", "index.js"))) return weighAll();
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  for (const [build, features] of Object.entries(BUILDS)) {
    const packed = join(targetDir(), "edge-npm", build);
    run("wasm-pack", [
      "build", here, "--mode", "no-install", "--target", "web", "--profile", "edge", "--no-pack",
      "--out-dir", packed, "--out-name", build, "--", "--features", features,
    ]);
    for (const name of [`${build}.js`, `${build}.d.ts`, `${build}_bg.wasm`]) copyFileSync(join(packed, name), join(out, name));
  }
  copyFileSync(join(root, "LICENSE"), join(npm, "LICENSE"));
  rmSync(join(npm, "dist"), { recursive: true, force: true });
  run(process.execPath, [join(modules, "typescript", "bin", "tsc"), "--project", npm]);
  weighAll();
  writeFileSync(stamp, sources);
}

function buildWorker(sources) {
  const out = join(here, "build");
  const stamp = join(out, ".sources");
  const weighAll = () => weigh("Worker bundle", LIMIT_KB.worker, [join(out, "index.js"), join(out, "index_bg.wasm")]);
  // For whoever has just built and starts many Workers: wrangler runs this at each start.
  if (process.env.EDGESEAL_PREBUILT === "1" && existsSync(join(out, "index.js"))) return;
  if (isStamped(stamp, sources)) return weighAll();
  bundleWorker(out, "worker");
  // wrangler wants the assets directory of wrangler.toml to exist, whether or not the site has been built into it.
  mkdirSync(join(root, "www", "dist"), { recursive: true });
  weighAll();
  writeFileSync(stamp, sources);
}

// The module and what the runtime reads around it: the glue of wasm-bindgen under a shim of our own.
function bundleWorker(out, features, ...options) {
  const packed = join(targetDir(), "edge-worker", features);
  rmSync(packed, { recursive: true, force: true });
  run("wasm-pack", [
    "build", here, "--mode", "no-install", "--target", "web", "--profile", "edge", "--no-pack", "--no-typescript", ...options,
    "--out-dir", packed, "--out-name", "index", "--", "--features", features,
  ]);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  copyFileSync(join(packed, "index_bg.wasm"), join(out, "index_bg.wasm"));
  run("esbuild", [
    join(here, "src", "worker", "shim.mjs"), "--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=warning",
    `--alias:glue=${join(packed, "index.js")}`, `--alias:host=${hostOf(packed)}`, "--external:./index_bg.wasm", `--outfile=${join(out, "index.js")}`,
  ]);
}

// The copy of src/worker/host.mjs that the glue imports: the shim must have the same.
function hostOf(packed) {
  const copies = readdirSync(packed, { recursive: true }).filter((file) => basename(file) === "host.mjs");
  return copies.length === 1 ? join(packed, copies[0]) : fail(`the glue imports host.mjs ${copies.length} times`);
}

// The Worker with requests that end its WebAssembly, for the test of what follows: never deployed, so it need not be small.
function buildFault(sources) {
  const stamp = join(here, "build-fault", ".sources");
  if (isStamped(stamp, sources)) return;
  bundleWorker(join(here, "build-fault"), "fault", "--no-opt");
  writeFileSync(stamp, sources);
}

// Everything that decides what comes out.
function digest() {
  const hash = createHash("sha256");
  const add = (path) => {
    if (statSync(path).isDirectory()) readdirSync(path).sort().forEach((name) => add(join(path, name)));
    else hash.update(`${relative(root, path)}\0`).update(readFileSync(path)).update("\0");
  };
  const files = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "core/Cargo.toml", "core/src", "core/p256/Cargo.toml", "core/p256/src", "edge-wasm/Cargo.toml"];
  const ours = ["edge-wasm/src", "edge-wasm/build.mjs", "edge-wasm/npm/src", "edge-wasm/npm/package-lock.json"];
  for (const path of [...files, ...ours, "edge-wasm/npm/tsconfig.json"]) add(join(root, path));
  return hash.digest("hex");
}

function isStamped(stamp, sources) {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === sources;
}

function run(tool, args, cwd = root) {
  const { status, error } = spawnSync(tool, args, { cwd, stdio: "inherit", env: environment() });
  if (error?.code === "ENOENT") {
    fail(`${tool} is not installed: run \`make tools\`, which puts it into target/tools/bin`);
  }
  if (error) fail(`${tool}: ${error.message}`);
  if (status !== 0) fail(`${tool} failed (exit code ${status})`);
}

function environment() {
  const tools = join(root, "target", "tools", "bin");
  const bin = join(modules, ".bin");
  if (!existsSync(bin)) fail("edge-wasm/npm/node_modules is missing: run `npm --prefix edge-wasm/npm ci`");
  const path = [tools, bin, process.env.PATH ?? ""].join(delimiter);
  return {
    ...process.env,
    PATH: path,
    CARGO_ENCODED_RUSTFLAGS: rustFlags(),
    WASM_BINDGEN_BIN: process.env.WASM_BINDGEN_BIN ?? find("wasm-bindgen", path),
    WASM_OPT_BIN: process.env.WASM_OPT_BIN ?? join(bin, "wasm-opt"),
    ESBUILD_BIN: process.env.ESBUILD_BIN ?? join(bin, "esbuild"),
  };
}

// Panic messages name source files: not by where this machine keeps them. Little is inlined beyond what asks for it: a tenth less to
// download, and verifications take the same time.
function rustFlags() {
  const cargo = process.env.CARGO_HOME ?? join(homedir(), ".cargo");
  const sources = join(cargo, "registry", "src");
  const registries = existsSync(sources) ? readdirSync(sources).map((name) => join(sources, name)) : [];
  return ["-Cllvm-args=-inline-threshold=25", ...[...registries, root].map((path) => `--remap-path-prefix=${path}=.`)].join("\x1f");
}

// wasm-pack would download a tool that it does not find: so it is never asked without one.
function find(tool, path) {
  const found = path.split(delimiter).map((folder) => join(folder, tool)).find((file) => existsSync(file));
  return found ?? fail(`${tool} is not installed: run \`make tools\`, which puts it into target/tools/bin`);
}

function targetDir() {
  return process.env.CARGO_TARGET_DIR ?? join(root, "target");
}

// A module and what it imports: what a page downloads, and no other host's entry.
function imported(module, found = new Set()) {
  if (found.has(module)) return found;
  found.add(module);
  for (const [, path] of readFileSync(module, "utf8").matchAll(/ from "(\.[^"]+)"/g)) imported(join(dirname(module), path), found);
  return found;
}

function weigh(what, limitKb, files) {
  const sum = (size) => files.map(size).reduce((all, one) => all + one, 0) / 1_000;
  const plain = sum((file) => statSync(file).size);
  const gzipped = sum((file) => gzipSync(readFileSync(file), { level: 9 }).length);
  const line = `${what}: ${gzipped.toFixed(1)} kB gzipped of at most ${limitKb} (${plain.toFixed(1)} kB plain)`;
  if (gzipped > limitKb) fail(`${line}\n${files.map((file) => relative(root, file)).join("\n")}`);
  console.log(line);
}

function fail(message) {
  console.error(`edge build: ${message}`);
  process.exit(1);
}
