// What a caller of the package sees, on the host that runs this (Node).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { CHECKS, ConfigurationError, VerifyError, createVerifier, inspectJwks, inspectToken, verifySignature } from "edgeseal";

import { bindBrowser } from "../dist/on-browser.js";
import * as glue from "../wasm/edge.js";
import { base64url, makeKey, seconds } from "./support.mjs";

const issuer = "https://login.example.com";
const audience = "https://api.example.com";
const key = await makeKey("k1");
const rsa = await makeKey("r1", "RS256");
const jwks = { keys: [key.jwk, rsa.jwk] };
const options = { issuer, audience, algorithms: ["ES256"], jwks };
const claims = (more = {}) => ({ iss: issuer, aud: audience, sub: "alice", exp: seconds() + 600, ...more });

const refused = (promise, code, check) =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof VerifyError && error instanceof Error && error.name === "VerifyError");
    assert.deepEqual([error.code, error.check], [code, check], error.message);
    return true;
  });
const misconfigured = (make, option) =>
  assert.throws(make, (error) => {
    assert.ok(error instanceof ConfigurationError && !(error instanceof VerifyError));
    assert.deepEqual([error.code, error.option], ["policy_invalid", option], error.message);
    assert.ok(error.message.includes(option), error.message);
    return true;
  });

test("verifies a token and gives its header and claims", async () => {
  const verifier = createVerifier(options);
  const verified = await verifier.verify(await key.token(claims({ deep: { er: [1, "é", null] } }), { typ: "JWT" }));
  assert.deepEqual(verified.header, { alg: "ES256", kid: "k1", typ: "JWT" });
  assert.equal(verified.claims.sub, "alice");
  assert.deepEqual(verified.claims.deep, { er: [1, "é", null] });
});

test("takes a Request, and refuses what is not one bearer token", async () => {
  const verifier = createVerifier(options);
  const token = await key.token(claims());
  const request = (...fields) => {
    const headers = new Headers();
    for (const field of fields) headers.append("authorization", field);
    return new Request("https://api.example.com/", { headers });
  };
  assert.equal((await verifier.verify(request(`Bearer ${token}`))).claims.sub, "alice");
  assert.equal((await verifier.verify(request(`bearer ${token}`))).claims.sub, "alice");
  await refused(verifier.verify(request()), "token_missing", null);
  await refused(verifier.verify(request("Basic dTpw")), "token_missing", null);
  await refused(verifier.verify(undefined), "token_missing", null);
  await refused(verifier.verify(request(`Bearer ${token}`, `Bearer ${token}`)), "authorization_malformed", null);
  await assert.rejects(verifier.verify(request()), /the request has no Authorization field/);
  // However long the field is, no character of it is overlooked: the last of these has no room where texts are handed over.
  for (let length = 65_590; length < 65_610; length += 1) {
    const surplus = `${"Bearer".padEnd(length - token.length - 1)}${token}é`;
    await assert.rejects(verifier.verify({ headers: { get: () => surplus } }), VerifyError, `${length}`);
  }
  await assert.rejects(verifier.verify(42), TypeError);
  await assert.rejects(verifier.verify({ headers: { get: () => [`Bearer ${token}`] } }), /takes a compact token or a Request/);
  await assert.rejects(verifier.verify({ headers: { authorization: `Bearer ${token}` } }), /edgeseal\/express/);
});

test("refuses with a stable code and the check that failed", async () => {
  const verifier = createVerifier(options);
  const good = await key.token(claims());
  const flipped = good.slice(0, -10) + (good.at(-10) === "A" ? "B" : "A") + good.slice(-9);
  await refused(verifier.verify(flipped), "signature_invalid", "signature");
  // Anybody can send wrong signatures: no stack is written for them, and others keep theirs.
  const { stackTraceLimit } = Error;
  const { stack } = await verifier.verify(flipped).catch((error) => error);
  assert.match(stack, /^VerifyError: signature_invalid: [^\n]+$/);
  assert.equal(Error.stackTraceLimit, stackTraceLimit);
  assert.match((await verifier.verify("a.b").catch((error) => error)).stack, /\n +at /);
  await refused(verifier.verify(await key.token(claims({ aud: "other" }))), "audience_mismatch", "audience");
  await refused(verifier.verify(await key.token(claims({ iss: "other" }))), "issuer_mismatch", "issuer");
  await refused(verifier.verify(await key.token(claims({ exp: 1 }))), "token_expired", "expiry");
  await refused(verifier.verify(await key.token(claims(), { alg: "none" })), "algorithm_not_allowed", "algorithm");
  await refused(verifier.verify(await key.token(claims(), { kid: "k9" })), "key_not_found", "key");
  await refused(verifier.verify(await rsa.token(claims())), "algorithm_not_allowed", "algorithm");
  await refused(verifier.verify("a.b"), "token_malformed", "structure");
  await refused(verifier.verify("x".repeat(100_000_000)), "token_too_large", "structure");
  for (const check of ["signature", "audience", "structure"]) assert.ok(CHECKS.includes(check));
});

test("errors carry both values for the log, and toResponse the code only", async () => {
  const error = await createVerifier(options).verify(await key.token(claims({ aud: "secret-service" }))).catch((error) => error);
  assert.match(error.message, /secret-service/);
  assert.match(error.message, /api\.example\.com/);
  const response = error.toResponse();
  assert.equal(response.status, 401);
  assert.equal(response.headers.get("www-authenticate"), 'Bearer error="invalid_token", error_description="audience_mismatch"');
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.equal(response.headers.get("cache-control"), "no-store");
  assert.deepEqual(await response.json(), {
    type: "urn:edgeseal:problem:audience_mismatch",
    title: "The token is not accepted",
    status: 401,
    code: "audience_mismatch",
  });
  const missing = await createVerifier(options).verify(null).catch((error) => error);
  assert.equal(missing.toResponse().headers.get("www-authenticate"), 'Bearer realm="edgeseal"');
});

test("several issuers: the token's own decides, the list is closed", async () => {
  const other = { ...options, issuer: "https://other.example", algorithms: ["RS256"] };
  const verifier = createVerifier({ issuers: [options, other] });
  assert.equal((await verifier.verify(await key.token(claims()))).claims.iss, issuer);
  assert.equal((await verifier.verify(await rsa.token(claims({ iss: other.issuer })))).claims.iss, other.issuer);
  await refused(verifier.verify(await key.token(claims({ iss: other.issuer }))), "algorithm_not_allowed", "algorithm");
  await refused(verifier.verify(await key.token(claims({ iss: "https://third.example" }))), "issuer_mismatch", "routing");
});

test("every policy option does something", async () => {
  const verify = async (more, token) => createVerifier({ ...options, ...more }).verify(await token);
  const now = seconds();
  await refused(verify({ typ: "at+jwt" }, key.token(claims())), "type_mismatch", "type");
  await verify({ typ: "at+jwt" }, key.token(claims(), { typ: "application/AT+JWT" }));
  await refused(verify({ leeway: 0 }, key.token(claims({ exp: now - 30 }))), "token_expired", "expiry");
  await verify({}, key.token(claims({ exp: now - 30 })));
  await refused(verify({ maxLifetime: 60 }, key.token(claims({ iat: now }))), "lifetime_exceeded", "lifetime");
  await refused(verify({ maxAge: 60 }, key.token(claims({ iat: now - 600 }))), "token_too_old", "lifetime");
  await verify({ audienceClaim: "client_id" }, key.token(claims({ aud: undefined, client_id: audience })));
  await refused(verify({ requiredClaims: ["scope"] }, key.token(claims())), "claim_missing", "claims");
  await verify({ audience: ["x", audience] }, key.token(claims()));
  await verify({ issuer: null, dangerous: { skipIssuer: true } }, key.token(claims({ iss: "anybody" })));
  await verify({ audience: undefined, dangerous: { skipAudience: true } }, key.token(claims({ aud: "anybody" })));
  await verify({ dangerous: { allowMissingExp: true } }, key.token(claims({ exp: undefined })));
  await verify({ clock: () => 1_000.5 }, key.token(claims({ exp: 1_000 })));
  await verify({ jwks: JSON.stringify(jwks) }, key.token(claims()));
});

test("a mistake in the options is the caller's, names the option, and is said at once", () => {
  const make = (more) => () => createVerifier({ ...options, ...more });
  misconfigured(make({ leewy: 1 }), "leewy");
  misconfigured(make({ leeway: 301 }), "leeway");
  misconfigured(make({ leeway: -1 }), "leeway");
  misconfigured(make({ leeway: "60" }), "leeway");
  misconfigured(make({ leeway: NaN }), "leeway");
  misconfigured(make({ algorithms: [] }), "algorithms");
  misconfigured(make({ algorithms: ["none"] }), "algorithms");
  misconfigured(make({ algorithms: "ES256" }), "algorithms");
  misconfigured(make({ algorithms: undefined }), "algorithms");
  misconfigured(make({ issuer: undefined }), "issuer");
  misconfigured(make({ audience: undefined }), "audience");
  misconfigured(make({ audience: [] }), "audience");
  misconfigured(make({ requiredClaims: "scope" }), "requiredClaims");
  misconfigured(make({ dangerous: { skipEverything: true } }), "dangerous.skipEverything");
  misconfigured(make({ dangerous: { skipIssuer: "yes" } }), "dangerous.skipIssuer");
  misconfigured(make({ jwksUri: "https://a.example/jwks" }), "jwks");
  misconfigured(make({ jwks: undefined, jwksUri: "http://a.example/jwks" }), "jwksUri");
  misconfigured(make({ jwks: undefined, issuer: "urn:x" }), "jwksUri");
  misconfigured(make({ cache: { staleIfError: 100_000 } }), "cache.staleIfError");
  misconfigured(make({ cache: { stale: 1 } }), "cache.stale");
  misconfigured(make({ fetch: "fetch" }), "fetch");
  misconfigured(() => createVerifier({ issuers: [] }), "issuers");
  misconfigured(() => createVerifier({ issuers: [options, { ...options, issuer: "b", maxLifetime: "1h" }] }), "issuers[1].maxLifetime");
  misconfigured(() => createVerifier({ issuers: [options, { ...options, issuer: "b", leeway: 400 }] }), "issuers[1].leeway");
  misconfigured(() => createVerifier({ ...options, issuers: [options] }), "issuer");
  misconfigured(() => createVerifier(), "options");
  assert.throws(make({ jwks: '{"keys":' }), (error) => error instanceof VerifyError && error.code === "jwks_malformed");
  assert.throws(make({ jwks: '{"keys":[],"keys":[]}' }), (error) => error.code === "jwks_malformed");
});

test("a clock that tells no time refuses nothing and accepts nothing", async () => {
  const token = await key.token(claims());
  // The last one is milliseconds.
  for (const time of [NaN, Infinity, -1, undefined, "1", Date.now()]) {
    await assert.rejects(createVerifier({ ...options, clock: () => time }).verify(token), ConfigurationError, String(time));
  }
});

test("signatures below the level of tokens", async () => {
  const token = await key.token(claims());
  const message = Buffer.from(token.slice(0, token.lastIndexOf(".")));
  const signature = Buffer.from(token.slice(token.lastIndexOf(".") + 1), "base64url");
  const verify = (more) => verifySignature({ algorithm: "ES256", jwk: key.jwk, message, signature, ...more });
  await verify({});
  await verify({ jwk: JSON.stringify(key.jwk) });
  await refused(verify({ message: Buffer.from("other") }), "signature_invalid", "signature");
  await refused(verify({ signature: signature.subarray(1) }), "signature_invalid", "signature");
  await refused(verify({ algorithm: "HS256" }), "algorithm_not_allowed", "algorithm");
  await refused(verify({ algorithm: "RS256" }), "key_mismatch", "key");
  await refused(verify({ jwk: { ...key.jwk, d: "AA" } }), "key_not_found", "key");
  await refused(verify({ jwk: "{" }), "key_not_found", "key");
  for (const wrong of ["text", [...message], message.buffer, undefined]) {
    await assert.rejects(verify({ message: wrong }), /message and signature: must be a Uint8Array/);
    await assert.rejects(verify({ signature: wrong }), /message and signature: must be a Uint8Array/);
  }
  // A caller who changes the octets meanwhile changes nothing: a Buffer's own slice would share them.
  const mine = Buffer.from(message);
  const pending = verify({ message: mine, backend: "webcrypto" });
  mine.fill(0);
  await pending;
});

test("inspection says what is there, and trusts nothing", async () => {
  const weak = { kty: "oct", k: "AAAA", kid: "s" };
  assert.deepEqual(await inspectJwks(JSON.stringify({ keys: [key.jwk, weak] })), {
    keys: 2,
    usable: 1,
    skipped: [{ index: 1, reason: "symmetric" }],
  });
  await refused(inspectJwks("[]"), "jwks_malformed", "key");
  await refused(inspectJwks(" ".repeat(10_000_000)), "jwks_malformed", "key");
  const forged = `${base64url('{"alg":"none"}')}.${base64url('{"sub":"anybody"}')}.`;
  assert.deepEqual(await inspectToken(forged), { header: { alg: "none" }, claims: { sub: "anybody" } });
  await assert.rejects(inspectToken(`${base64url('{"alg":"none"}')}.${base64url("[1]")}.`), SyntaxError);
  await refused(inspectToken("x"), "token_malformed", "structure");
});

test("claims named __proto__ stay claims", async () => {
  const hostile = JSON.parse(JSON.stringify(claims()).replace("{", '{"__proto__":{"admin":true},'));
  const { claims: got } = await createVerifier(options).verify(await key.token(hostile));
  assert.equal(got.admin, undefined);
  assert.ok(Object.hasOwn(got, "__proto__"));
});

test("WebAssembly that could not be loaded is loaded at the next call", async () => {
  let down = true, loads = 0;
  const load = async () => {
    loads += 1;
    if (down) throw new TypeError("Failed to fetch");
    return glue.initSync({ module: readFileSync(new URL("../wasm/edge_bg.wasm", import.meta.url)) });
  };
  const browser = bindBrowser({ ...glue, default: load }, () => new URL("https://example.com/edge_bg.wasm"));
  const token = await key.token(claims());
  const verifier = browser.createVerifier(options);
  const broken = browser.createVerifier({ ...options, leeway: 301 });
  await assert.rejects(verifier.verify(token), /Failed to fetch/);
  await assert.rejects(verifier.verify(token), /Failed to fetch/);
  down = false;
  assert.equal((await verifier.verify(token)).claims.sub, "alice");
  const before = loads;
  await Promise.all([verifier.verify(token), browser.createVerifier(options).verify(token)]);
  assert.equal(loads, before, "it is there");
  // What cannot be meant stays what it is.
  for (let round = 0; round < 2; round += 1) await assert.rejects(broken.verify(token), (error) => error.option === "leeway");
});
