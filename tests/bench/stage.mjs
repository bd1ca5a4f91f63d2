// A folder in which the contestants are installed as their users have them: ours packed by `npm pack` and unpacked.
import { cpSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { stageFor } from "../conformance/stage.mjs";
import { root } from "../support/paths.mjs";

const here = dirname(fileURLToPath(import.meta.url));
let staged;

export function stage() {
  staged ??= build();
  return staged;
}

async function build() {
  const folder = await stageFor(root);
  for (const name of ["jose", "aws-jwt-verify", "jsonwebtoken"]) symlinkSync(join(root, "tests/node_modules", name), join(folder, "node_modules", name));
  symlinkSync(join(root, "edge-wasm/npm/node_modules/hono"), join(folder, "node_modules/hono"));
  cpSync(join(here, "inside"), join(folder, "bench"), { recursive: true });
  return folder;
}

/** Bundles one entry of the stage as its host would get it; `.wasm` files are copied beside it. */
export function bundle(folder, entry, outdir, { conditions, external = [] }) {
  const esbuild = createRequire(join(root, "edge-wasm/npm/package.json"))("esbuild");
  esbuild.buildSync({
    entryPoints: [join(folder, entry)],
    bundle: true,
    minify: true,
    format: "esm",
    conditions,
    external,
    loader: { ".wasm": "copy" },
    outdir,
    outExtension: { ".js": ".mjs" },
    logLevel: "warning",
  });
}
