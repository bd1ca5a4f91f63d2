// The key server goes away: cached keys serve on, then 503, never 401; and a dead endpoint is not hammered.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { AUDIENCE, assertProblem, bench, tokenOf } from "../support/harness.mjs";
import { freePorts } from "../support/ports.mjs";
import { until } from "../support/wait.mjs";

const here = bench("outage");
let signer, token;

before(async () => {
  signer = await here.signer();
  token = await tokenOf(signer);
});

const issuerWith = (jwksUri) => ({ issuer: signer.ready.issuer, audience: AUDIENCE, algorithms: ["ES256"], jwks_uri: jwksUri });

test("with the JWKS server stopped: cached keys, then 503 with Retry-After after the stale window, never 401; then recovery", async () => {
  const served = await here.countingJwks(signer);
  const worker = await here.worker({ echo: true, issuers: [issuerWith(`${served.url}/jwks.json`)], cache: { fresh_default: 2, fresh_min: 1, fresh_max: 2, stale_if_error: 4, backoff_max: 2 } });
  assert.equal((await worker.ask(token)).status, 200);
  const fetchedAt = Date.now();
  await served.stop();

  const seen = [];
  const last = await until("the stale window ends", async () => {
    const answer = await worker.ask(token);
    seen.push({ status: answer.status, after: Date.now() - fetchedAt });
    return answer.status !== 200 && answer;
  }, { seconds: 20, every: 100 });
  assertProblem(last, 503, "jwks_unavailable");
  assert.match(last.headers["retry-after"], /^\d+$/);
  assert.equal(last.headers["www-authenticate"], undefined, "an outage is no reason to ask for other credentials");
  assert.deepEqual([...new Set(seen.map(({ status }) => status))], [200, 503]);
  const servedFor = seen.filter(({ status }) => status === 200).at(-1).after;
  assert.ok(servedFor > 4000, `cached keys served past their freshness, for ${servedFor} ms`);
  assert.ok(seen.at(-1).after < 12_000, `and not for ever: ${seen.at(-1).after} ms`);

  await served.resume();
  await until("the Worker recovers", async () => (await worker.ask(token)).status === 200, { seconds: 15, every: 200 });
});

test("cold with the endpoint dead, 100 requests cause at most three fetches and all get 503", async () => {
  const dead = await here.server((_, response) => response.writeHead(500).end("down"));
  const worker = await here.worker({ echo: true, issuers: [issuerWith(`${dead.url}/jwks.json`)] });
  const answers = [];
  for (let round = 0; round < 10; round += 1) answers.push(...(await Promise.all(Array.from({ length: 10 }, () => worker.ask(token)))));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [503]);
  for (const answer of answers) assertProblem(answer, 503, "jwks_unavailable");
  assert.ok(dead.requests.length >= 1 && dead.requests.length <= 3, `${dead.requests.length} fetches`);
});

test("cold with nobody listening, 100 requests get 503", async () => {
  const [port] = await freePorts(1);
  const worker = await here.worker({ echo: true, issuers: [issuerWith(`http://127.0.0.1:${port}/jwks.json`)] });
  const answers = await Promise.all(Array.from({ length: 100 }, () => worker.ask(token)));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [503]);
});

test("50 concurrent cold requests to a live endpoint cause one fetch", async () => {
  const served = await here.countingJwks(signer);
  const worker = await here.worker({ echo: true, issuers: [issuerWith(`${served.url}/jwks.json`)] });
  const answers = await Promise.all(Array.from({ length: 50 }, () => worker.ask(token)));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal(served.requests.length, 1);
});

test("a server that answers with something else than a JWK Set is an outage too", async () => {
  for (const body of ["<html>maintenance</html>", "{}", '{"keys":1}']) {
    const odd = await here.server((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(body));
    const worker = await here.worker({ echo: true, issuers: [issuerWith(`${odd.url}/jwks.json`)] });
    const answer = await worker.ask(token);
    assert.equal(answer.status, 503, `${body}: ${answer.status} ${answer.text}`);
    await worker.stop();
  }
});
