// The playground in real Chromium, served by the real Worker: it judges as the other hosts do, and needs no network for it.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { openPlayground } from "../support/browser.mjs";
import { AUDIENCE, algorithmsOf, bench, tokenOf } from "../support/harness.mjs";
import { jwks } from "../support/signer.mjs";
import { algorithmNone, claims, flipSignatureBit, foreignKey } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";

const here = bench("playground");
let signer, page, policy;
const requests = [];

before(async () => {
  signer = await here.signer();
  const worker = await here.worker({ echo: true, issuers: [{ issuer: signer.ready.issuer, audience: AUDIENCE, algorithms: algorithmsOf(signer) }] }, { ca: signer.ready.ca });
  page = await openPlayground(await here.browser(), worker.url);
  page.page.on("request", (request) => requests.push(request.url()));
  policy = { jwks: (await jwks(signer.ready)).text, issuer: signer.ready.issuer, audience: AUDIENCE, algorithms: algorithmsOf(signer), leeway: 0 };
  await page.context.setOffline(true);
});

test("with the network off, a token of every algorithm of the HSM is accepted with its claims", async () => {
  for (const algorithm of algorithmsOf(signer)) {
    const token = await tokenOf(signer, { algorithm });
    const verdict = await page.verdict({ token, ...policy });
    assert.deepEqual({ algorithm, ...verdict }, { algorithm, accepted: true, code: null, claims: claims(token) });
  }
});

test("with the network off, each broken token has its code", async () => {
  const token = await tokenOf(signer);
  const short = await tokenOf(signer, { ttl: "1s" });
  await until("the short token expires", () => Date.now() / 1000 >= claims(short).exp, { seconds: 10 });
  const broken = {
    signature_invalid: flipSignatureBit(token),
    audience_mismatch: await tokenOf(signer, { audience: "https://other.example.com" }),
    token_expired: short,
    algorithm_not_allowed: algorithmNone(token),
    key_not_found: await foreignKey(token),
  };
  for (const [code, candidate] of Object.entries(broken)) {
    const verdict = await page.verdict({ token: candidate, ...policy });
    assert.equal(verdict.accepted, false);
    assert.equal(verdict.code, code);
  }
});

test("nothing left the page while it judged", () => {
  assert.deepEqual(requests.filter((url) => /^https?:/.test(url)), []);
  assert.deepEqual(page.problems, []);
});
