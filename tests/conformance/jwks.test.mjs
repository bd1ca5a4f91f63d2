// The JWK Set documents of EDGESEAL_VECTORS, as a user looks at them: `edgeseal jwks inspect FILE --json` and the npm package's
// inspectJwks say the same of each, and their counts are those of INDEX.json.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { nativeBinary } from "./hosts/native.mjs";
import { stageFor } from "./stage.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

if (!process.env.EDGESEAL_VECTORS) {
  console.log("1 not run: EDGESEAL_VECTORS is unset");
} else {
  test("JWK Set documents: the command and the package agree with INDEX.json", async () => {
    const folder = join(resolve(root, process.env.EDGESEAL_VECTORS), "jwks");
    const index = JSON.parse(readFileSync(join(folder, "INDEX.json"), "utf8"));
    assert.equal(index.length, 25);
    assert.deepEqual(readdirSync(folder).filter((name) => name !== "INDEX.json").sort(), index.map(({ name }) => `${name}.json`).sort());
    const { inspectJwks } = await import(pathToFileURL(join(await stageFor(root), "node_modules/edgeseal/dist/node.js")));
    for (const { name, n_keys, n_usable_for_verify } of index) {
      const file = join(folder, `${name}.json`);
      const inspected = await inspectJwks(readFileSync(file, "utf8"));
      const { status, stdout, stderr } = spawnSync(nativeBinary(root), ["jwks", "inspect", file, "--json"], { encoding: "utf8" });
      assert.equal(status, 0, `${name}: ${stderr}`);
      const { keys, usable, skipped } = JSON.parse(stdout);
      assert.deepEqual({ keys, usable }, { keys: n_keys, usable: n_usable_for_verify }, name);
      const reasons = (list) => list.map(({ index: position, reason }) => [position, reason]);
      assert.deepEqual({ ...inspected, skipped: reasons(inspected.skipped) }, { keys, usable, skipped: reasons(skipped) }, name);
    }
  });
}
