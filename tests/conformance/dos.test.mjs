// What is far too large, too deep or too many is refused within 50 ms and in bounded memory, in every host of the npm package. For
// core natively: core/tests/hostile_sizes.rs.
import assert from "node:assert/strict";
import { join, dirname } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { hosts } from "./hosts/index.mjs";
import { CASES } from "./inside/dos.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
/** Milliseconds for one refusal. */
const LIMIT = 50;
/** Octets of WebAssembly memory after all of them: the module alone has about 2 MB. */
const MEMORY = 16 << 20;
/** The fastest of so many counts, as other programs run on this machine too. */
const TRIES = 7;

for (const name of ["node", "workerd", "chromium"]) {
  test(`100 MB, a depth of 110 000, 20 000 keys, 16 384 bits: refused at once in ${name}`, { timeout: 240_000 }, async () => {
    const host = new hosts[name]({ root });
    await host.start();
    try {
      for (const [what, { code }] of Object.entries(CASES)) {
        let fastest = Infinity;
        let memory = 0;
        for (let tries = 0; tries < TRIES && (tries < 2 || fastest > LIMIT); tries += 1) {
          const judged = await host.hostile(what);
          assert.equal(judged.code, code, `${what} in ${name}`);
          fastest = Math.min(fastest, judged.ms);
          memory = Math.max(memory, judged.memory);
        }
        assert.ok(fastest <= LIMIT, `${what} took ${fastest.toFixed(1)} ms in ${name}`);
        assert.ok(memory > 0, `no WebAssembly memory is seen in ${name}`);
        assert.ok(memory <= MEMORY, `${what}: ${memory} octets of WebAssembly memory in ${name}`);
      }
    } finally {
      await host.stop();
    }
  });
}
