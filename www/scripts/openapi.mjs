// Writes the OpenAPI documents of the signer's listeners into www/openapi, from which the API reference and the console's types
// are made: `npm run openapi` after `make signer`. A test says when they are old.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const LISTENERS = ["public", "agents", "admin"];
const FOLDER = new URL("../openapi/", import.meta.url);

/** A listener's document, as the signer that is built here prints it. */
export function openapi(listener) {
  const edgeseal = fileURLToPath(new URL("../../target/debug/edgeseal", import.meta.url));
  return execFileSync(edgeseal, ["openapi", listener], { encoding: "utf8", maxBuffer: 16 * 1024 * 1024 });
}

/** Where a listener's document stands. */
export function file(listener) {
  return fileURLToPath(new URL(`${listener}.json`, FOLDER));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(FOLDER, { recursive: true });
  for (const listener of LISTENERS) writeFileSync(file(listener), openapi(listener));
}
