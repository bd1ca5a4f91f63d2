// Formatting, lints and documentation: each a check with a name, all run, the failures' output printed.
// The last line is `N passed, N failed`.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

process.chdir(join(dirname(fileURLToPath(import.meta.url)), "../.."));

const clippy = (...args) => ["cargo", "clippy", "--locked", "--quiet", ...args, "--", "-D", "warnings"];
const checks = [
  ["rustfmt", ["cargo", "fmt", "--all", "--check"]],
  ["clippy, native, all targets", clippy("--workspace", "--all-targets")],
  ["clippy, wasm32, npm door", clippy("-p", "edgeseal-edge", "--target", "wasm32-unknown-unknown", "--features", "npm")],
  ["clippy, wasm32, Worker door", clippy("-p", "edgeseal-edge", "--target", "wasm32-unknown-unknown", "--features", "worker")],
  ["core builds bare for wasm32", ["cargo", "build", "--locked", "--quiet", "-p", "edgeseal-core", "--no-default-features", "--target", "wasm32-unknown-unknown"]],
  ["rustdoc", ["cargo", "doc", "--locked", "--quiet", "--workspace", "--no-deps"], { RUSTDOCFLAGS: "-D warnings" }],
];
// The static form of the house's arrows; the tests check them too, so that this needs no extra tool.
if (spawnSync("cargo", ["deny", "--version"]).status === 0) checks.push(["cargo-deny bans", ["cargo", "deny", "--all-features", "check", "bans"]]);
if (existsSync("www/node_modules") && spawnSync("npm", ["--prefix", "www", "run"], { encoding: "utf8" }).stdout?.includes("check\n")) {
  checks.push(["playground types", ["npm", "--prefix", "www", "run", "check"]]);
}

let failed = 0;
for (const [name, [command, ...args], env] of checks) {
  const began = Date.now();
  const result = spawnSync(command, args, { encoding: "utf8", env: { ...process.env, ...env }, maxBuffer: 1 << 28 });
  const ok = result.status === 0;
  console.log(`  ${ok ? "✓" : "✗"} ${name.padEnd(34)} ${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s`);
  if (!ok) {
    failed += 1;
    console.log(`    ${[command, ...args].join(" ")}\n${(result.error?.message ?? `${result.stdout}${result.stderr}`).trimEnd()}`);
  }
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
