// `make fuzz` and `make fuzz-smoke`: every fuzz target in turn, on one core, with what it finds kept apart from the committed corpus.
// usage: fuzz.mjs [--minutes N] [--only TARGET,TARGET] | --minimize [--only TARGET,TARGET] [--into FOLDER]
// Minutes are the processor's (the clock's where there is no /proc), so that a busy machine does not shorten a run.
// A finding ends the run of its target, is left in target/fuzz/findings/<target>/, and makes the exit code 1.

import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
process.chdir(root);
process.env.PATH = [join(root, "target/tools/bin"), process.env.PATH].join(delimiter);
const { values } = parseArgs({ options: { minutes: { type: "string" }, only: { type: "string" }, minimize: { type: "boolean" }, into: { type: "string" } } });
const minutes = Number(values.minutes || 1);
if (!(minutes > 0)) fail(`MINUTES is ${JSON.stringify(values.minutes)}: a number above 0 is expected`);

/** libFuzzer's exit code when it was asked to end. */
const INTERRUPTED = 72;

const all = [...readFileSync("tests/fuzz/Cargo.toml", "utf8").matchAll(/\[\[bin\]\]\nname = "(.+)"/g)].map(([, name]) => name);
const targets = values.only ? values.only.split(",") : all;
for (const name of targets) if (!all.includes(name)) fail(`no fuzz target ${JSON.stringify(name)}: ${all.join(", ")}`);

// No sanitizer: all code of ours and beneath it is safe Rust or long proven, and so the stable toolchain is enough.
const options = ["--fuzz-dir", "tests/fuzz", "--sanitizer", "none", "--target-dir", "target/fuzz/build"];
if (run("cargo", ["fuzz", "build", ...options]).status !== 0) fail("the fuzz targets do not build");

if (values.minimize) targets.forEach(minimize);
else {
  const rows = [];
  for (const name of targets) rows.push(await fuzz(name));
  report(rows);
}

async function fuzz(name) {
  const [found, corpus, findings] = [`target/fuzz/corpus/${name}`, `tests/fuzz/corpus/${name}`, `target/fuzz/findings/${name}/`];
  for (const folder of [found, findings]) mkdirSync(folder, { recursive: true });
  const log = `target/fuzz/${name}.log`;
  const libfuzzer = [
    "-max_len=4096", "-timeout=60", "-rss_limit_mb=1024", "-dict=tests/fuzz/jose.dict", "-print_final_stats=1", `-artifact_prefix=${findings}`,
  ];
  const { status, text, seconds } = await limited(name, [found, corpus, ...libfuzzer]);
  writeFileSync(log, text);
  const last = (pattern) => Number([...text.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const row = {
    target: name,
    minutes: Math.round(seconds / 6) / 10,
    executions: last(/stat::number_of_executed_units: (\d+)/g),
    edges: last(/cov: (\d+)/g),
    features: last(/ft: (\d+)/g),
    inputs: last(/corp: (\d+)\//g),
    ok: status === 0 || status === INTERRUPTED,
  };
  console.log(`  ${row.ok ? "✓" : "✗"} ${name.padEnd(12)} ${String(row.executions).padStart(12)} executions ${String(row.edges).padStart(7)} edges ${String(row.features).padStart(7)} features ${String(row.inputs).padStart(6)} inputs`);
  if (!row.ok) console.log(`${text.trimEnd().split("\n").slice(-25).join("\n")}\n  the log is ${log}, the input in ${findings}`);
  return row;
}

function report(rows) {
  writeFileSync("target/fuzz/report.json", `${JSON.stringify({ date: new Date().toISOString(), rows }, null, 2)}\n`);
  const failed = rows.filter(({ ok }) => !ok).length;
  console.log(`${rows.length - failed} passed, ${failed} failed`);
  process.exitCode = failed ? 1 : 0;
}

/** Runs a target until it has had its minutes, and gives what it said. */
async function limited(name, args) {
  const began = performance.now();
  const host = spawnSync("rustc", ["-vV"], { encoding: "utf8" }).stdout.match(/host: (.+)/)[1];
  const child = spawn(join("target/fuzz/build", host, "release", name), args, { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  let seconds = 0;
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (data) => (text += data));
  const timer = setInterval(() => {
    seconds = cpuSeconds(child.pid) ?? (performance.now() - began) / 1_000;
    // libFuzzer ends of itself then, and prints its counts.
    if (seconds >= minutes * 60) child.kill("SIGINT");
  }, 500);
  const status = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  }).catch((error) => fail(`cannot run ${name}: ${error.message}`));
  clearInterval(timer);
  return { status, text, seconds };
}

function cpuSeconds(pid) {
  try {
    // The fields behind the name in parentheses: utime and stime are the 14th and 15th of all, in hundredths of a second.
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return undefined;
  }
}

/** The fewest inputs that reach what both corpora reach, and of those as many as a repository should hold, in place of the committed one (or into a folder). */
function minimize(name) {
  const [most, budget] = [200, 36 * 1024];
  const [found, corpus, merged] = [`target/fuzz/corpus/${name}`, `tests/fuzz/corpus/${name}`, `target/fuzz/merged/${name}`];
  const destination = values.into ? join(values.into, name) : corpus;
  rmSync(merged, { recursive: true, force: true });
  mkdirSync(merged, { recursive: true });
  const sources = [corpus, found].filter((folder) => existsSync(folder));
  const { status } = run("cargo", ["fuzz", "run", ...options, name, merged, ...sources, "--", "-set_cover_merge=1", "-max_len=400"]);
  if (status !== 0) fail(`the corpus of ${name} does not merge`);
  rmSync(destination, { recursive: true, force: true });
  mkdirSync(destination, { recursive: true });
  let [kept, bytes] = [0, 0];
  // Their names are hashes: the order is nobody's choice.
  for (const file of readdirSync(merged).sort()) {
    const { size } = statSync(join(merged, file));
    if (kept === most || bytes + size > budget) continue;
    copyFileSync(join(merged, file), join(destination, file));
    [kept, bytes] = [kept + 1, bytes + size];
  }
  console.log(`  ${name.padEnd(12)} ${kept} inputs, ${bytes} bytes`);
}

function run(command, args, { pipe = false } = {}) {
  const result = spawnSync(command, args, { stdio: ["ignore", pipe ? "pipe" : "inherit", pipe ? "pipe" : "inherit"], encoding: "utf8", maxBuffer: 1 << 30 });
  if (result.error) fail(`cannot run ${command}: ${result.error.message}`);
  return result;
}

function fail(message) {
  console.error(`  ✗ ${message}`);
  process.exit(1);
}
