// The signer's tokens in clients that nobody here wrote, over HTTPS with the demo's CA and no other trust.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { before, test } from "node:test";
import { AUDIENCE, algorithmsOf, bench, tokenOf } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { node22, root, target } from "../support/paths.mjs";
import { jwks } from "../support/signer.mjs";
import { flipSignatureBit } from "../support/tamper.mjs";

const here = bench("clients");
const node = (file) => [node22, `tests/e2e/clients/${file}`];
const python = (file) => [join(target, "python/bin/python"), `tests/e2e/clients/${file}`];
const PSS = ["PS256", "PS384", "PS512"];
const ED = ["EdDSA", "Ed25519"];
// What each does not have, and why.
const clients = {
  "jose (createRemoteJWKSet)": { command: node("jose.mjs"), lacks: [] },
  // It has no EdDSA.
  "jsonwebtoken + jwks-rsa": { command: node("jsonwebtoken.mjs"), lacks: ED },
  // No PS*; of Ed25519 only the older name.
  "aws-jwt-verify": { command: node("aws-jwt-verify.mjs"), lacks: [...PSS, "Ed25519"] },
  // The name of RFC 9864 is not known to it; why discovery failed it does not say.
  "express-oauth2-jwt-bearer": { command: node("express-oauth2-jwt-bearer.mjs"), lacks: ["Ed25519"], untrusted: /^Failed to fetch authorization server metadata$/ },
  // get-jwks reads no OKP keys.
  "fast-jwt + get-jwks": { command: node("fast-jwt.mjs"), lacks: ED },
  "openid-client": { command: node("openid-client.mjs"), lacks: [] },
  // The name of RFC 9864 is not known to it.
  "PyJWT (PyJWKClient)": { command: python("pyjwt.py"), lacks: ["Ed25519"] },
  joserfc: { command: python("joserfc_client.py"), lacks: [] },
  // The name of RFC 9864 is not known to it.
  Authlib: { command: python("authlib_client.py"), lacks: ["Ed25519"] },
  jwcrypto: { command: python("jwcrypto_client.py"), lacks: [] },
  // HAProxy 2.6 knows neither PS* nor EdDSA.
  "HAProxy (jwt_verify)": { command: node("haproxy.mjs"), lacks: [...PSS, ...ED] },
  // The command line knows no EdDSA.
  "jose, the command line": { command: node("jose-cli.mjs"), lacks: ED },
};
const NONCE = "n-0S6_WzA2Mj";
let signer;
const tokens = {};

before(async () => {
  signer = await here.signer();
  for (const algorithm of algorithmsOf(signer)) tokens[algorithm] = await tokenOf(signer, { algorithm, claims: { sub: `alice-${algorithm}`, nonce: NONCE } });
});

for (const [name, { command, lacks, untrusted = /certificate|UNABLE_TO_VERIFY|SELF_SIGNED|unable to verify/i }] of Object.entries(clients)) {
  test(`${name} accepts every algorithm it has, and refuses the same tokens with one bit changed`, async () => {
    const mine = Object.fromEntries(Object.entries(tokens).filter(([algorithm]) => !lacks.includes(algorithm)));
    for (const wanted of ["ES256", "RS256"]) assert.ok(mine[wanted], `${wanted} is tried`);
    const broken = Object.fromEntries(Object.entries(mine).map(([algorithm, token]) => [`${algorithm} broken`, flipSignatureBit(token)]));
    const results = await run(command, { ...mine, ...broken }, signer.ready.ca);
    for (const algorithm of Object.keys(mine)) {
      assert.deepEqual(results[algorithm], { sub: `alice-${algorithm}` });
      assert.ok(results[`${algorithm} broken`].error, `${algorithm} with a flipped bit is refused`);
    }
  });

  test(`${name} trusts the signer's certificate only through the demo's CA`, async () => {
    const results = await run(command, { ES256: tokens.ES256 }, undefined);
    assert.match(results.ES256.error, untrusted);
  });
}

test("openssl accepts the certificates of both listeners and of the agent, by the demo's CA alone", () => {
  for (const file of [signer.ready.agent_cert, join(dirname(signer.ready.ca), "server.crt")]) {
    const { status, stdout, stderr } = spawnSync("openssl", ["verify", "-no-CApath", "-no-CAstore", "-x509_strict", "-CAfile", signer.ready.ca, file], { encoding: "utf8" });
    assert.equal(status, 0, stdout + stderr);
  }
});

test("the JWK Set: public members only, kid, alg and use on each, RSA before EC before OKP, cacheable, open to browsers", async () => {
  const answer = await jwks(signer.ready);
  const { keys } = answer.json;
  const order = ["RSA", "EC", "OKP"];
  assert.deepEqual(keys.map(({ kty }) => order.indexOf(kty)), keys.map(({ kty }) => order.indexOf(kty)).sort());
  const members = { RSA: ["e", "n"], EC: ["crv", "x", "y"], OKP: ["crv", "x"] };
  for (const key of keys) {
    assert.deepEqual(Object.keys(key).sort(), ["alg", "kid", "kty", "use", ...members[key.kty]].sort());
    assert.equal(key.use, "sig");
  }
  assert.match(answer.headers["cache-control"], /max-age=\d+/);
  assert.equal(answer.headers["access-control-allow-origin"], "*");
  const again = await call(signer.ready.jwks_uri, { ca: signer.ca, headers: { "if-none-match": answer.headers.etag } });
  assert.equal(again.status, 304);
});

test("both forms of discovery name the issuer and its JWK Set", async () => {
  for (const form of ["openid-configuration", "oauth-authorization-server"]) {
    const answer = await call(`${signer.ready.issuer}/.well-known/${form}`, { ca: signer.ca });
    assert.equal(answer.status, 200);
    assert.equal(answer.json.issuer, signer.ready.issuer);
    assert.equal(answer.json.jwks_uri, signer.ready.jwks_uri);
  }
});

async function run([command, ...args], candidates, ca) {
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: ca ?? "" };
  if (!ca) delete env.NODE_EXTRA_CA_CERTS;
  const child = spawn(command, args, { cwd: root, env, stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify({ jwks_uri: signer.ready.jwks_uri, issuer: signer.ready.issuer, audience: AUDIENCE, nonce: NONCE, ca: ca ?? null, tokens: candidates }));
  const lines = (await text(child.stdout)).trim().split("\n");
  return Object.fromEntries(lines.map((line) => JSON.parse(line)).map(({ name, ...result }) => [name, result]));
}
