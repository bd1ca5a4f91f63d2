// Rotation: a second key is generated in the HSM, both are published, the new one signs; a running Worker follows by the
// unknown kid with one extra fetch of the JWK Set.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { AUDIENCE, bench, profileOf, tokenOf } from "../support/harness.mjs";
import { jwks, keysActivate, keysGenerate, keysList } from "../support/signer.mjs";
import { header } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";

const here = bench("rotation");
let signer, served, worker;

before(async () => {
  signer = await here.signer();
  served = await here.countingJwks(signer);
  worker = await here.worker({ echo: true, issuers: [{ issuer: signer.ready.issuer, audience: AUDIENCE, algorithms: ["ES256"], jwks_uri: `${served.url}/jwks.json` }] });
});

test("a running Worker picks the new key up with exactly one extra fetch", async () => {
  const old = await tokenOf(signer);
  for (let i = 0; i < 5; i += 1) assert.equal((await worker.ask(old)).status, 200);
  assert.equal(served.requests.length, 1, "one fetch serves the first five requests");

  const kid = await keysGenerate(signer, profileOf(signer, "ES256"));
  assert.notEqual(kid, header(old).kid);
  const published = await until("both keys are published", async () => {
    const kids = (await jwks(signer.ready)).json.keys.map((key) => key.kid);
    return kids.includes(kid) && kids;
  });
  assert.ok(published.includes(header(old).kid));
  assert.equal(header(await tokenOf(signer)).kid, header(old).kid, "a published key does not sign yet");

  await keysActivate(signer, kid);
  const fresh = await until("the new key signs", async () => {
    const token = await tokenOf(signer);
    return header(token).kid === kid && token;
  });
  const states = Object.fromEntries((await keysList(signer)).map((key) => [key.kid, key.state]));
  assert.equal(states[kid], "active");
  assert.equal(states[header(old).kid], "retiring");

  assert.equal(served.requests.length, 1, "the Worker has not looked since");
  for (let i = 0; i < 5; i += 1) assert.equal((await worker.ask(fresh)).status, 200);
  assert.equal(served.requests.length, 2, "one extra fetch for the unknown kid");
  for (let i = 0; i < 5; i += 1) assert.equal((await worker.ask(old)).status, 200, "tokens of the retiring key live on");
  assert.equal(served.requests.length, 2);
});

test("made-up kids do not make the Worker fetch again within the cooldown", async () => {
  const token = await tokenOf(signer);
  const before_ = served.requests.length;
  for (let i = 0; i < 50; i += 1) {
    const [head, body, signature] = token.split(".");
    const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(head, "base64url")), kid: `made-up-${i}` })).toString("base64url");
    const answer = await worker.ask([forged, body, signature].join("."));
    assert.equal(answer.status, 401);
    assert.equal(answer.json.code, "key_not_found");
  }
  assert.equal(served.requests.length, before_);
});
