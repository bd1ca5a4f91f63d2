// Runs a corpus on one host or on all: `node tests/conformance/run.mjs [--corpus FILE|DIR,..] [--host all] [--out verdicts.jsonl]
// [--modes]`. CORPUS, HOST and OUT in the environment say the same. README.md describes corpus, verdicts and hosts.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, extname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { corpusFiles, corpusLines } from "./corpus.mjs";
import { knownDivergences } from "./divergences.mjs";
import { hosts } from "./hosts/index.mjs";
import { report } from "./report.mjs";
import { judgeAll } from "./session.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

async function main() {
  const { values } = parseArgs({ options: { corpus: { type: "string" }, host: { type: "string" }, out: { type: "string" }, modes: { type: "boolean" } } });
  const host = values.host || process.env.HOST || "all";
  const out = values.out || process.env.OUT;
  const names = host === "all" ? Object.keys(hosts) : [host];
  if (!names.every((name) => Object.hasOwn(hosts, name))) throw new Error(`HOST is ${host}: native, node, workerd, chromium or all`);
  const named = values.corpus || process.env.CORPUS;
  const more = values.modes || !named;
  const { files, notRun } = corpusFiles(root, named);
  const lines = [...corpusLines(files)];
  if (lines.length === 0) throw new Error(`the corpus has no lines: ${files.join(", ")}`);
  console.log(`${lines.length} lines from ${files.length} files`);

  const byHost = new Map();
  const judge = async (host, label, options) => {
    const began = performance.now();
    byHost.set(label, await judgeAll(host, lines, options));
    console.log(`  ${label.padEnd(22)} ${((performance.now() - began) / 1000).toFixed(1)} s`);
    return byHost.get(label);
  };
  for (const name of names) {
    const host = new hosts[name]({ root });
    const [first, ...others] = host.modes.filter((mode) => more || !mode.more);
    const verdicts = await judge(host, name, { mode: first });
    for (const mode of others) await judge(host, `${name}, ${mode.name}`, { mode });
    if (out) write(names.length > 1 ? withHost(out, name) : out, verdicts);
  }
  const { passed, failed } = report(lines, byHost, knownDivergences(root));
  for (const reason of notRun) console.log(`not run: the shared vectors: ${reason}`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

function write(file, verdicts) {
  const path = resolve(file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, verdicts.map(({ id, v, code }) => `${JSON.stringify({ id, v, code })}\n`).join(""));
}

/** `verdicts.jsonl` becomes `verdicts.node.jsonl`. */
function withHost(file, host) {
  const ending = extname(file);
  return `${file.slice(0, file.length - ending.length)}.${host}${ending}`;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`✗ conformance: ${error.message}`);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
