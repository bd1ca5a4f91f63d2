// Where things are. EDGESEAL_BIN, EDGESEAL_CHROMIUM and EDGESEAL_PKCS11_MODULE override what is found.

import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const target = join(root, "target");
export const edgeseal = process.env.EDGESEAL_BIN ?? join(target, "debug/edgeseal");
export const node22 = join(root, "tests/node_modules/node/bin/node");
export const wrangler = join(root, "edge-wasm/npm/node_modules/wrangler/bin/wrangler.js");

/** PATH with this project's Node and build tools in front. */
export const path = [dirname(node22), join(target, "tools/bin"), process.env.PATH].join(delimiter);

/** The first of the names that is an executable on PATH, or null. */
export function which(...names) {
  return whichOf(names, () => true);
}

/** The Node that users of this machine have. `make test` puts the project's own before it on PATH. */
export function systemNode() {
  const found = whichOf(["node"], (directory) => !directory.startsWith(root));
  if (!found) throw new Error("this machine's own Node is missing: run `make setup`");
  return found;
}

function whichOf(names, admits) {
  for (const name of names) {
    for (const directory of (process.env.PATH ?? "").split(delimiter)) {
      const file = join(directory, name);
      if (directory && admits(directory) && existsSync(file)) return file;
    }
  }
  return null;
}

export function chromium() {
  const found = process.env.EDGESEAL_CHROMIUM ?? which("chromium", "chromium-browser", "google-chrome", "google-chrome-stable");
  if (!found) throw new Error("Chromium is missing: run `make setup`, or name it in EDGESEAL_CHROMIUM");
  return found;
}

export function softhsm() {
  const candidates = [process.env.EDGESEAL_PKCS11_MODULE, "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so", "/opt/homebrew/lib/softhsm/libsofthsm2.so"];
  const found = candidates.find((file) => file && existsSync(file));
  if (!found) throw new Error("SoftHSM is missing: run `make setup`, or name the module in EDGESEAL_PKCS11_MODULE");
  return found;
}
