// A trap of the WebAssembly ends one request: the instance is thrown away, and the next request is one of a new instance, whose keys come
// from the layers that isolates share. The build with requests that trap is this test's own.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { node22, path, root } from "../support/paths.mjs";
import { testIssuer } from "../support/tokens.mjs";

const here = bench("panic");
let worker, served, token;

before(async () => {
  await promisify(execFile)(node22, [join(root, "edge-wasm/build.mjs"), "fault"], { cwd: root, env: { ...process.env, PATH: path }, maxBuffer: 1 << 26 });
  const issuer = await testIssuer();
  token = await issuer.issue();
  served = await here.server((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(issuer.jwks)));
  worker = await here.worker({ echo: true, issuers: [{ ...issuer.settings, jwks_uri: `${served.url}/jwks` }] }, { build: join(root, "edge-wasm/build-fault") });
});

const fault = (what, seconds = 30) => call(`${worker.url}/hello`, { headers: { authorization: `Bearer ${token}`, "x-fault": what }, seconds }).catch((error) => ({ status: 599, text: error.message }));

for (const what of ["panic", "panic-later", "memory", "stack"]) {
  test(`${what}: the request fails, the next ones do not`, async () => {
    assert.equal((await worker.ask(token)).status, 200);
    const fetches = served.requests.length;
    const failed = await fault(what);
    assert.ok(failed.status >= 500, `${failed.status} ${failed.text}`);
    const marker = worker.output().length;
    for (let round = 0; round < 5; round += 1) {
      const answer = await worker.ask(token);
      assert.equal(answer.status, 200, `${answer.text}\n${worker.output().slice(marker)}`);
      assert.equal(answer.json.claims.sub, "alice");
    }
    assert.equal((await worker.ask("not.a.token")).status, 401);
    assert.equal(served.requests.length, fetches, "the new instance has the keys from the layers");
  });
}

test("requests beside a trap are answered or fail, none hangs, and afterwards all are well", async () => {
  const beside = Array.from({ length: 20 }, (_, index) => (index === 5 ? fault("panic-later") : worker.ask(token).catch((error) => ({ status: 599, text: error.message }))));
  const statuses = (await Promise.all(beside)).map(({ status }) => status);
  assert.ok(statuses.every((status) => status === 200 || status >= 500), statuses.join());
  const after = await Promise.all(Array.from({ length: 20 }, () => worker.ask(token)));
  assert.deepEqual([...new Set(after.map(({ status }) => status))], [200]);
});
