// `make test`: every suite in order, the counts taken from what the suites themselves report, a table at the end.
// A suite that cannot run is a failure. The last line is exactly `N passed, N failed`.
// ONLY=rust,p256,npm,www,conformance,e2e,alone runs some of them.

import { spawn } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { busy } from "../support/ports.mjs";
import { tally } from "./tally.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
process.chdir(root);
mkdirSync("target", { recursive: true });

const env = {
  ...process.env,
  PATH: [join(root, "tests/node_modules/node/bin"), join(root, "target/tools/bin"), process.env.PATH].join(delimiter),
  CARGO_TERM_COLOR: "never",
  NO_COLOR: "1",
};
delete env.FORCE_COLOR;
if (env.EDGESEAL_VECTORS) env.EDGESEAL_VECTORS = resolve(root, env.EDGESEAL_VECTORS);

const node = join(root, "tests/node_modules/node/bin/node");
// What uses ports that everybody knows, builds what others serve, or wants both cores.
const ALONE = ["bench", "demo", "deploy", "overviews", "setup"].map((name) => `tests/e2e/${name}.test.mjs`);
const others = ["tests/e2e", "tests/scripts", "tests/conformance"]
  .flatMap((folder) => readdirSync(folder).filter((file) => file.endsWith(".test.mjs")).map((file) => `${folder}/${file}`))
  .filter((file) => !ALONE.includes(file));
// The ports of `edgeseal dev`, and with the Worker's those of the demo: what plays a reader's commands would ask whoever sits there.
const DEV = [8443, 8444, 8445];
const endToEnd = (files, atOnce) => ({ kind: "node", run: [node, "--test", `--test-concurrency=${atOnce}`, "--test-reporter=spec", ...files] });
const suites = [
  { name: "rust", what: "Rust: unit, integration, documentation", kind: "cargo", run: ["cargo", "test", "--locked", "--workspace", "--no-fail-fast"] },
  // A release build of core and its tests alone, twice: in the tests' own profile a million would take minutes, so that profile has fewer.
  { name: "p256", what: "a million signatures, in both fields of P-256", kind: "cargo", run: ["make", "--no-print-directory", "p256-differential", "SIGNATURES=1000000"] },
  { name: "npm", what: "npm package", kind: "node", run: ["npm", "--prefix", "edge-wasm/npm", "test"] },
  { name: "www", what: "playground", kind: "node", run: ["npm", "--prefix", "www", "test"], ports: DEV },
  { name: "conformance", what: "conformance: native, node, workerd, chromium", kind: "summary", run: [node, "tests/conformance/run.mjs", "--host", "all", "--out", "target/conformance/verdicts.jsonl"] },
  // Two at once: most of them wait most of the time, for a cache to end or a process to die.
  { name: "e2e", what: "end to end: HSM, workerd, Chromium, clients", ...endToEnd(others, 2) },
  { name: "alone", what: "end to end: demo, READMEs, deployment", ...endToEnd(ALONE, 1), ports: [...DEV, 8787] },
];
const only = process.env.ONLY?.split(",");
const chosen = only ? suites.filter(({ name }) => only.includes(name)) : suites;

const rows = [];
for (const suite of chosen) {
  console.log(`\n── ${suite.what}: ${suite.run.join(" ")}`);
  const began = Date.now();
  const taken = await takenOf(suite.ports ?? []);
  // Its tests would ask whoever sits there, and fail in ways that say nothing.
  const held = taken.length > 0 && `not begun: another process listens on port ${taken.join(", ")} (ss -ltnp shows it); end it first`;
  const { code, text, error } = held ? { code: 1, text: "", error: held } : await stream(suite.run);
  if (held) console.log(held);
  const counts = tally(suite.kind, text);
  // A suite that ended badly without naming a failed test (it crashed, or does not compile) is itself one failure;
  // so is one that ran nothing.
  if (counts.failed === 0 && (code !== 0 || error)) counts.failed = 1;
  if (counts.failed === 0 && counts.passed === 0) counts.failed = 1;
  rows.push({ ...suite, ...counts, seconds: (Date.now() - began) / 1000, trouble: error ?? (code === 0 ? "" : `exit ${code}`) });
}

console.log(`\n  ${"suite".padEnd(46)} ${"passed".padStart(8)} ${"failed".padStart(8)} ${"time".padStart(9)}`);
for (const row of rows) {
  console.log(`${row.failed ? "✗" : "✓"} ${row.what.padEnd(46)} ${String(row.passed).padStart(8)} ${String(row.failed).padStart(8)} ${`${row.seconds.toFixed(1)} s`.padStart(9)} ${row.trouble}`);
}
for (const row of rows) for (const name of row.names) console.log(`  failed: ${row.name}: ${name}`);
for (const row of rows) for (const note of row.notes) console.log(`  not run: ${row.name}: ${note}`);
if (!env.EDGESEAL_VECTORS) console.log("  not run: the shared vectors (EDGESEAL_VECTORS is unset)");

const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
process.exitCode = sum("failed") ? 1 : 0;

/** Those of the ports that somebody keeps: longer than a process does that was ended a moment ago. */
async function takenOf(ports) {
  const taken = async () => {
    const busyOnes = await Promise.all(ports.map((port) => busy(port)));
    return ports.filter((_, index) => busyOnes[index]);
  };
  for (let tries = 0; tries < 20 && (await taken()).length > 0; tries += 1) await sleep(500);
  return taken();
}

/** Runs one suite with its output shown as it comes, and kept. */
function stream([command, ...args]) {
  return new Promise((done) => {
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    let text = "";
    for (const pipe of [child.stdout, child.stderr]) {
      pipe.setEncoding("utf8");
      pipe.on("data", (chunk) => {
        text += chunk;
        process.stdout.write(chunk);
      });
    }
    child.on("error", (error) => done({ code: 1, text, error: error.code === "ENOENT" ? `${command} is not installed` : error.message }));
    child.on("close", (code, signal) => done({ code: code ?? 1, text, error: signal ? `ended by ${signal}` : undefined }));
  });
}
