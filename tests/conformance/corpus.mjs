// Which lines are judged: files, folders, or, when nothing is named, everything that the project has.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";

import { splitLines } from "./line.mjs";

/**
 * The files of a corpus.
 *
 * @param {string} root the repository
 * @param {string} named files and folders, separated by commas; empty: our own vectors, and the shared ones where there are any
 * @returns {{files: string[], notRun: string[]}}
 */
export function corpusFiles(root, named) {
  if (named) return { files: named.split(",").flatMap((name) => filesOf(resolve(name.trim()))), notRun: [] };
  const work = join(root, "target/conformance");
  mkdirSync(work, { recursive: true });
  const files = filesOf(join(root, "tests/vectors"));
  for (const [name, ...args] of [["large", "--large"], ["mutated", "--mutated", "2000", "1"]]) {
    const file = join(work, `${name}.jsonl`);
    files.push(made(root, "generate-vectors", [...args, file], file));
  }
  const wycheproof = join(work, "wycheproof.jsonl");
  files.push(made(root, "export-wycheproof", [wycheproof], wycheproof));
  const shared = process.env.EDGESEAL_VECTORS;
  if (!shared) return { files, notRun: ["EDGESEAL_VECTORS is unset"] };
  const folder = isAbsolute(shared) ? shared : join(root, shared);
  if (!existsSync(folder)) throw new Error(`EDGESEAL_VECTORS names ${folder}, which is absent`);
  files.push(made(root, "convert-vectors", [folder], join(work, "shared.jsonl"), true));
  return { files, notRun: [] };
}

/** Every line of the files, in order, with where it comes from. */
export function* corpusLines(files) {
  for (const file of files) for (const bytes of splitLines(readFileSync(file))) yield bytes;
}

function filesOf(path) {
  if (!existsSync(path)) throw new Error(`CORPUS: ${path} is absent`);
  if (!statSync(path).isDirectory()) return [path];
  const files = readdirSync(path).filter((name) => name.endsWith(".jsonl")).sort();
  if (files.length === 0) throw new Error(`CORPUS: ${path} holds no .jsonl file`);
  return files.map((name) => join(path, name));
}

/** Runs a binary of the crate edgeseal-tests, which `cargo run` builds when it has changed. */
function made(root, binary, args, file, toFile = false) {
  const run = spawnSync("cargo", ["run", "--quiet", "--locked", "--package", "edgeseal-tests", "--bin", binary, "--", ...args], {
    cwd: root,
    encoding: "buffer",
    maxBuffer: 1 << 30,
  });
  if (run.error) throw new Error(`cargo: ${run.error.message}`);
  if (run.status !== 0) throw new Error(`${binary} failed: ${run.stderr.toString().trim()}`);
  if (toFile) writeFileSync(file, run.stdout);
  return file;
}
