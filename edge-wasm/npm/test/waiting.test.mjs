// What happens to a token while the host's cryptography has its signature: here that answers when the test says so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { InternalError, VerifyError, createVerifier } from "edgeseal";

const audience = "https://api.example.com";
const START = 1_800_000_000;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

async function makeKey(kid) {
  const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
  const { kty, crv, x } = await crypto.subtle.exportKey("jwk", publicKey);
  const token = async (iss, exp = START + 100_000) => {
    const input = `${encode({ alg: "EdDSA", kid })}.${encode({ iss, aud: audience, exp, jti: crypto.randomUUID() })}`;
    return `${input}.${Buffer.from(await crypto.subtle.sign({ name: "Ed25519" }, privateKey, Buffer.from(input))).toString("base64url")}`;
  };
  return { jwk: { kty, crv, x, kid, alg: "EdDSA" }, token };
}

/** Replaces one function of the host until the test ends. */
function replace(t, of, name, by) {
  const before = of[name];
  of[name] = by(before);
  t.after(() => { of[name] = before; });
}

const settings = { audience, algorithms: ["EdDSA"] };
const own = { backend: "webcrypto", tokenCache: 0 };

test("what was to be fetched in an instance that trapped is not fetched for another issuer in the next", async (t) => {
  const keys = { a: await makeKey("k1"), b: await makeKey("k1") };
  let [held, memory, now] = [undefined, undefined, START];
  replace(t, crypto.subtle, "verify", (verify) => async (algorithm, key, signature, message) => {
    const given = [signature.slice(), message.slice()];
    const wait = held;
    held = undefined;
    await wait;
    return verify.call(crypto.subtle, algorithm, key, ...given);
  });
  replace(t, TextEncoder.prototype, "encodeInto", (encodeInto) => function (text, octets) {
    memory = octets.buffer;
    return encodeInto.call(this, text, octets);
  });
  const closed = {};
  const fetch = async (url) => {
    const name = new URL(url).hostname[0];
    await closed[name];
    return Response.json({ keys: [keys[name].jwk] });
  };
  const issuer = (name) => `https://${name}.example`;
  const issuers = ["a", "b"].map((name) => ({ ...settings, issuer: issuer(name), jwksUri: `${issuer(name)}/jwks` }));
  const verifier = createVerifier({ issuers, fetch, clock: () => now, ...own });
  await verifier.verify(await keys.a.token(issuer("a")));
  // Its keys are to be refreshed, and the one that says so waits.
  now += 590;
  const answer = Promise.withResolvers();
  held = answer.promise;
  const slow = verifier.verify(await keys.a.token(issuer("a")));
  await sleep(30);
  new Uint8Array(memory).fill(0xff);
  await assert.rejects(async () => verifier.verify(await keys.a.token(issuer("a"))), InternalError);
  // In the new instance the next fetches have the numbers of those before.
  const gates = { a: Promise.withResolvers(), b: Promise.withResolvers() };
  for (const name of ["a", "b"]) closed[name] = gates[name].promise;
  const refreshing = keys.a.token(issuer("a")).then((token) => verifier.verify(token));
  await sleep(30);
  const good = verifier.verify(await keys.b.token(issuer("b")));
  await sleep(30);
  delete closed.a;
  answer.resolve();
  await slow;
  await sleep(30);
  gates.b.resolve();
  gates.a.resolve();
  assert.equal((await good).claims.iss, issuer("b"));
  await refreshing;
  await assert.rejects(verifier.verify(await keys.a.token(issuer("b"))), (error) => error.code === "signature_invalid");
});

test("a token whose key the host does not take refreshes the keys all the same", async (t) => {
  const [good, untaken] = [await makeKey("good"), await makeKey("untaken")];
  replace(t, crypto.subtle, "importKey", (importKey) => async (format, jwk, ...more) => {
    if (jwk.x === untaken.jwk.x) throw new DOMException("no", "NotSupportedError");
    return importKey.call(crypto.subtle, format, jwk, ...more);
  });
  let [now, published, fetches] = [START, [good.jwk, untaken.jwk], 0];
  const fetch = async () => {
    fetches += 1;
    return Response.json({ keys: published });
  };
  const issuer = "https://a.example";
  const verifier = createVerifier({ ...settings, issuer, jwksUri: `${issuer}/jwks`, fetch, clock: () => now, ...own });
  const removed = await good.token(issuer);
  await verifier.verify(removed);
  published = [untaken.jwk];
  const noise = await untaken.token(issuer);
  for (let left = 20; left > 0; left -= 1) {
    now = START + 600 - 3 * left;
    await assert.rejects(verifier.verify(noise));
    await verifier.verify(removed).catch(() => {});
  }
  now = START + 601;
  await assert.rejects(verifier.verify(removed), (error) => error instanceof VerifyError && error.code === "key_not_found");
  // The first, the refresh, and one for a `kid` that the new set has not.
  assert.equal(fetches, 3);
  assert.equal(verifier.stats().issuers[0].failures, 0);
});

test("more tokens at once than may wait for the host are all verified", { timeout: 60_000 }, async (t) => {
  const key = await makeKey("k1");
  let calls = 0;
  replace(t, crypto.subtle, "verify", () => () => new Promise((resolve) => setImmediate(() => {
    calls += 1;
    resolve(true);
  })));
  const issuer = "https://a.example";
  const verifier = createVerifier({ ...settings, issuer, jwks: { keys: [key.jwk] }, clock: () => START, ...own });
  const token = await key.token(issuer);
  await verifier.verify(token);
  const many = 16_384 + 200;
  const verified = await Promise.all(Array.from({ length: many }, () => verifier.verify(token)));
  assert.equal(verified.length, many);
  assert.ok(calls < 2 * many, `${calls} calls`);
});
