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
    const begun = worker.output().length;
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
    assert.match(worker.output().slice(begun).replaceAll("\\", ""), /"event":"instance_renewed","reason":"/);
  });
}

test("requests beside a trap are answered or fail, none hangs, and afterwards all are well", async () => {
  const beside = Array.from({ length: 20 }, (_, index) => (index === 5 ? fault("panic-later") : worker.ask(token).catch((error) => ({ status: 599, text: error.message }))));
  const statuses = (await Promise.all(beside)).map(({ status }) => status);
  assert.ok(statuses.every((status) => status === 200 || status >= 500), statuses.join());
  const after = await Promise.all(Array.from({ length: 20 }, () => worker.ask(token)));
  assert.deepEqual([...new Set(after.map(({ status }) => status))], [200]);
});

test("a head of any size ends no instance", async () => {
  // A process of its own, whose memory nothing has enlarged yet.
  const issuer = await testIssuer();
  const keys = await here.server((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(issuer.jwks)));
  const fresh = await here.worker({ echo: true, issuers: [{ ...issuer.settings, jwks_uri: `${keys.url}/jwks` }] }, { build: join(root, "edge-wasm/build-fault") });
  const good = await issuer.issue();
  for (let size = 64; size <= 300 * 1024; size = Math.ceil(size * 1.7)) {
    const long = "a".repeat(size);
    for (const [path, authorization] of [["/hello", `Bearer ${long}`], [`/hello?${long}`, `Bearer ${good}`], ["/hello", `Bearer ${"\u00fc".repeat(size / 2)}`]]) {
      const { status, text } = await call(`${fresh.url}${path}`, { headers: { authorization } });
      assert.ok([200, 400, 401, 414, 431].includes(status), `${size}: ${status} ${text}`);
    }
    assert.equal((await fresh.ask(good)).status, 200);
  }
  assert.doesNotMatch(fresh.output(), /instance_renewed/);
});

test("a request that the origin has is not sent again after a trap beside it", async () => {
  const issuer = await testIssuer();
  const origin = await here.server((_, response) => setTimeout(() => response.end("done"), 700));
  const slow = await here.worker({ origin: origin.url, issuers: [{ ...issuer.settings, jwks: issuer.jwks }] }, { build: join(root, "edge-wasm/build-fault") });
  const authorization = `Bearer ${await issuer.issue()}`;
  const ask = (headers) => call(`${slow.url}/order`, { method: "DELETE", headers: { authorization, ...headers } }).catch((error) => ({ status: 599, text: error.message }));
  const ordered = ask({});
  for (let tries = 0; origin.requests.length === 0; tries += 1) {
    assert.ok(tries < 500, "the request reaches the origin");
    await new Promise((done) => setTimeout(done, 10));
  }
  const trapped = await ask({ "x-fault": "panic" });
  assert.ok(trapped.status >= 500, `${trapped.status}`);
  // The shim's own answer, not one of a second attempt.
  const { status, text } = await ordered;
  assert.deepEqual([status, text], [502, ""]);
  assert.equal(origin.requests.length, 1);
  assert.equal((await ask({})).status, 200);
});
