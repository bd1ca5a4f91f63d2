// What each make target needs, built side by side: `node tests/scripts/prepare.mjs demo`.
// Runs on any Node >= 18 without packages, because it is what installs them. A step that has nothing to do says nothing.
// Every step's output is in target/logs/<step>.log; the end of it is printed when the step fails.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
process.chdir(root);
// What a build writes, and what no build reads: not part of any digest.
const generated = new Set(["edge-wasm/build", "edge-wasm/npm/dist", "edge-wasm/npm/wasm", "edge-wasm/npm/test", "www/dist", "www/console/dist", "www/console/src/api/schema.d.ts", "www/test", "www/site/screens"]);
const skipped = new Set(["node_modules", "target", ".wrangler", "README.md"]);
const logs = join(root, "target/logs");
const stamps = join(root, "target/stamps");
mkdirSync(logs, { recursive: true });
mkdirSync(stamps, { recursive: true });

process.env.npm_config_loglevel ??= "error";
process.env.PATH = [join(root, "tests/node_modules/node/bin"), join(root, "target/tools/bin"), process.env.PATH].join(delimiter);

class StepFailed extends Error {}
const children = new Set();

/** @type {Record<string, {what: string, after?: string[], done?: () => boolean, stamp?: () => string, show?: RegExp, run: string[][]}>} */
const steps = {
  compiler: { what: "C compiler", run: [["sh", "tests/scripts/system.sh", "cc", "make"]] },
  // Browser and HSM are not needed to compile: they are installed meanwhile.
  system: { what: "system packages", after: ["compiler"], run: [["sh", "tests/scripts/system.sh", ...systemNeeds()]] },
  // What `edgeseal dev` and the commands of the first steps need. The signer first: who has another HSM has it, whatever is missing here.
  softhsm: { what: "SoftHSM, curl, jq", after: ["signer"], run: [["sh", "tests/scripts/system.sh", "softhsm", "curl", "jq"]] },
  rust: { what: "Rust toolchain and wasm32 target", after: ["compiler"], run: rustCommands() },
  tools: { what: "wasm-pack, wasm-bindgen", after: ["rust"], run: [["sh", "tests/scripts/tools.sh"]], stamp: toolsKey },
  "npm-tests": npmStep("tests"),
  "npm-edge": npmStep("edge-wasm/npm"),
  "npm-www": npmStep("www"),
  "npm-hosts": npmStep("edge-wasm/npm/test/hosts"),
  python: {
    what: "Python client (PyJWT)",
    after: ["system"],
    run: [["python3", "-m", "venv", "--clear", "target/python"], ["target/python/bin/pip", "install", "--quiet", "-r", "tests/e2e/requirements.txt"]],
    stamp: () => digest(["tests/e2e/requirements.txt"]),
    done: () => existsSync("target/python/bin/python"),
  },
  // --workspace: the same features of every dependency as the tests have, so that nothing is compiled twice.
  // The signer embeds the console where it is built already; without it, it serves the API alone.
  signer: { what: "signer", after: ["rust", "console"], run: [["cargo", "build", "--locked", "--workspace", "--bin", "edgeseal"]] },
  // The integration tests need the binaries, so this puts target/debug/edgeseal in its place as well.
  rehearsal: { what: "all test binaries", after: ["rust", "console"], run: [["cargo", "test", "--locked", "--workspace", "--no-run"]] },
  edge: {
    what: "npm package and Worker (WebAssembly)",
    after: ["rust", "tools", "npm-tests", "npm-edge"],
    run: [["node", "edge-wasm/build.mjs"]], // returns at once when its sources are unchanged
    show: /gzipped of at most/,
  },
  // A workspace of its own, with the lock of this one, so that both sides of a comparison are what the house uses.
  "bench-native": {
    what: "native contestants of the bench (release)",
    after: ["rust"],
    run: [
      ["cp", "Cargo.lock", "tests/bench/native/Cargo.lock"],
      ["cargo", "build", "--release", "--manifest-path", "tests/bench/native/Cargo.toml", "--target-dir", "target/bench/native"],
    ],
    stamp: () => digest(["Cargo.lock", "Cargo.toml", "core", "signer-native/src/backend", "tests/bench/native/Cargo.toml", "tests/bench/native/src"]),
    done: () => existsSync("target/bench/native/release/edgeseal-bench-native"),
  },
  console: {
    what: "console",
    after: ["npm-tests", "npm-www"], // its Vite wants a newer Node than Debian 12 has: ours
    run: [["npm", "--prefix", "www", "run", "build:console"]],
    stamp: () => digest(["www/console", "www/openapi", "www/package.json", "www/package-lock.json", "www/scripts"]),
    done: () => built("www/console/dist"),
    show: /first load/,
  },
  kryoptic: { what: "kryoptic (a PKCS#11 module)", after: ["system", "rust"], run: [["sh", "tests/scripts/kryoptic.sh"]], stamp: () => digest(["tests/scripts/kryoptic.sh"]), done: () => existsSync("target/kryoptic/libkryoptic_pkcs11.so") },
  // What users get: the release profile.
  "signer-release": { what: "signer (release)", after: ["rust"], run: [["cargo", "build", "--locked", "--release", "-p", "edgeseal-signer", "--bin", "edgeseal"]] },
  "bench-peers": {
    what: "the signer's peers",
    after: ["system", "npm-tests"],
    run: [["sh", "tests/bench/signer/peers.sh"]],
    stamp: () => digest(["tests/bench/signer/peers.sh", "tests/bench/signer/token.c", "tests/bench/signer/peers/package-lock.json", "tests/bench/signer/peers/requirements.txt"]),
    done: () => existsSync("target/bench/peers/token") && existsSync("target/bench/peers/python/bin/python"),
  },
  www: {
    what: "playground",
    after: ["edge", "npm-www"],
    run: [["npm", "--prefix", "www", "run", "build"]],
    stamp: () => digest(["core", "edge-wasm", "www", "Cargo.lock", ...includedByPages("www/site/docs")]),
    done: () => built("www/dist"),
  },
};

const targets = {
  demo: ["system", "rust", "npm-tests", "npm-edge", "npm-www", "tools", "signer", "edge", "www"],
  test: ["system", "rust", "npm-tests", "npm-edge", "npm-www", "npm-hosts", "python", "tools", "rehearsal", "edge", "www", "kryoptic"],
  bench: ["system", "rust", "npm-tests", "npm-edge", "tools", "edge", "kryoptic", "bench-native", "signer-release", "bench-peers"],
  conformance: ["system", "rust", "npm-tests", "npm-edge", "tools", "rehearsal", "edge"],
};

async function prepare(names) {
  const wanted = new Set();
  const want = (name) => {
    if (!steps[name]) fail(`no step named ${name}: ${Object.keys({ ...steps, ...targets }).join(", ")}`);
    if (wanted.has(name)) return;
    (steps[name].after ?? []).forEach(want);
    wanted.add(name);
  };
  names.flatMap((name) => targets[name] ?? [name]).forEach(want);

  const running = new Map();
  const start = (name) => {
    if (!running.has(name)) running.set(name, Promise.all((steps[name].after ?? []).map(start)).then(() => perform(name)));
    return running.get(name);
  };
  try {
    await Promise.all([...wanted].map(start));
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    for (const child of children) child.kill("SIGTERM");
    fail(error.message);
  }
}

async function perform(name) {
  const step = steps[name];
  const stampFile = join(stamps, name);
  const stamp = step.stamp?.();
  const stamped = stamp !== undefined && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp;
  if (step.stamp ? stamped && (step.done?.() ?? true) : step.done?.()) return;
  rmSync(stampFile, { force: true });
  const began = Date.now();
  const log = join(logs, `${name}.log`);
  writeFileSync(log, "");
  for (const command of step.run) await runStep(name, command, log);
  if (stamp !== undefined) writeFileSync(stampFile, step.stamp());
  for (const line of readFileSync(log, "utf8").split("\n")) if (step.show?.test(line)) console.log(`  · ${"Size".padEnd(14)}  ${line.trim()}`);
  const seconds = (Date.now() - began) / 1000;
  if (seconds >= 1) console.log(`  ✓ ${"Ready".padEnd(14)}  ${step.what.padEnd(42)} ${seconds.toFixed(1).padStart(6)} s`);
}

function runStep(name, [command, ...args], log) {
  return new Promise((resolve, reject) => {
    const out = openSync(log, "a");
    const child = spawn(command, args, { stdio: ["ignore", out, out], env: process.env });
    children.add(child);
    const done = (reason) => {
      children.delete(child);
      try { closeSync(out); } catch { /* closed already */ }
      if (!reason) return resolve();
      const tail = readFileSync(log, "utf8").trimEnd().split("\n").slice(-30).join("\n");
      reject(new StepFailed(`${steps[name].what}: ${[command, ...args].join(" ")} ${reason}; the log is target/logs/${name}.log and ends:\n${tail}`));
    };
    child.on("error", (error) => done(error.code === "ENOENT" ? `cannot run: ${command} is not installed` : error.message));
    child.on("exit", (code, signal) => done(code === 0 ? null : `failed (${signal ?? `exit ${code}`})`));
  });
}

function npmStep(directory) {
  return {
    what: `npm packages of ${directory}`,
    run: [["npm", "--prefix", directory, "ci"]],
    stamp: () => digest([`${directory}/package.json`, `${directory}/package-lock.json`]),
    done: () => existsSync(`${directory}/node_modules/.package-lock.json`),
  };
}

function systemNeeds() {
  const always = ["git", "node", "npm", "softhsm", "chromium", "openssl"];
  return process.argv.includes("demo") ? always : [...always, "pkcs11-tool", "sqlite3", "softokn", "postgresql", "python-venv", "haproxy", "jose", "curl", "jq", "systemd-nspawn", "c++", "pkg-config", "libclang", "openssl-headers", "sqlite-headers"];
}

function rustCommands() {
  const commands = [];
  const text = readFileSync("rust-toolchain.toml", "utf8");
  const channel = /channel = "(.+)"/.exec(text)?.[1];
  const has = (command, args) => spawnSync(command, args, { encoding: "utf8", env: { ...process.env, RUSTUP_AUTO_INSTALL: "0" } });
  const rustup = has("rustup", ["--version"]).status === 0;
  if (rustup) {
    const installed = has("rustup", ["toolchain", "list"]).stdout ?? "";
    if (!installed.split("\n").some((line) => line.startsWith(`${channel}-`))) {
      commands.push(["rustup", "toolchain", "install", channel, "--profile", "minimal", "-c", "clippy", "-c", "rustfmt", "-t", "wasm32-unknown-unknown"]);
      return commands;
    }
    const targets = has("rustup", ["target", "list", "--installed", "--toolchain", channel]).stdout ?? "";
    if (!targets.includes("wasm32-unknown-unknown")) commands.push(["rustup", "target", "add", "--toolchain", channel, "wasm32-unknown-unknown"]);
    const components = has("rustup", ["component", "list", "--installed", "--toolchain", channel]).stdout ?? "";
    const missing = ["clippy", "rustfmt"].filter((name) => !components.includes(name));
    if (missing.length) commands.push(["rustup", "component", "add", "--toolchain", channel, ...missing]);
    return commands;
  }
  const sysroot = has("rustc", ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]);
  if (sysroot.status !== 0 || !existsSync(sysroot.stdout.trim())) {
    fail(`Rust ${channel} with the wasm32-unknown-unknown target is missing: install rustup from https://rustup.rs, then run make again`);
  }
  return commands;
}

function toolsKey() {
  return digest(["tests/scripts/tools.sh"]) + (/name = "wasm-bindgen"\nversion = "(.+)"/.exec(readFileSync("Cargo.lock", "utf8"))?.[1] ?? "");
}

/** One hash over every file below the paths, so that a changed source rebuilds and a touched one does not. What is named itself always counts. */
function digest(paths) {
  const hash = createHash("sha256");
  const visit = (path) => {
    if (!existsSync(path)) return;
    if (statSync(path).isDirectory()) {
      for (const name of readdirSync(path).sort()) if (!skipped.has(name) && !generated.has(join(path, name))) visit(join(path, name));
    } else {
      hash.update(`${path}\0`).update(readFileSync(path)).update("\0");
    }
  };
  paths.forEach(visit);
  return hash.digest("hex");
}

/** What the documentation's pages include from elsewhere, the READMEs among it, which no other build reads. */
function includedByPages(directory) {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return includedByPages(path);
    if (!entry.name.endsWith(".md")) return [];
    const included = readFileSync(path, "utf8").matchAll(/^(?:<!--@include: |<<< )([^\s{#]+?)(?:-->|[\s{#]|$)/gm);
    return [...included].map(([, file]) => join(directory, file));
  });
}

function built(directory) {
  return existsSync(directory) && readdirSync(directory).length > 0;
}

function fail(message) {
  console.error(`  ✗ ${message}`);
  process.exit(1);
}

await prepare(process.argv.slice(2));
