// A folder in which `import "edgeseal"` finds the npm package as its users get it: packed by `npm pack`, then unpacked.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
let stage;

/** The folder, made once for each run and removed at its end. */
export async function stageFor(root) {
  stage ??= build(root);
  return stage;
}

function build(root) {
  const npm = join(root, "edge-wasm/npm");
  for (const built of ["dist/node.js", "wasm/edge_bg.wasm"]) {
    if (!existsSync(join(npm, built))) throw new Error(`the npm package is not built (edge-wasm/npm/${built} is missing): run \`make edge\``);
  }
  const folder = mkdtempSync(join(tmpdir(), "edgeseal-conformance-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const packed = run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], npm).trim().split("\n").at(-1);
  const target = join(folder, "node_modules/edgeseal");
  mkdirSync(target, { recursive: true });
  run("tar", ["--extract", "--gzip", "--strip-components=1", "--file", join(folder, packed)], target);
  for (const name of ["node.mjs", "worker.mjs", "page.mjs", "dos.mjs"]) copyFileSync(join(here, "inside", name), join(folder, name));
  copyFileSync(join(here, "line.mjs"), join(folder, "line.mjs"));
  return folder;
}

function run(command, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (error) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args[0]} failed: ${stderr.trim()}`);
  return stdout;
}
