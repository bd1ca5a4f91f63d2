// What the page of comparisons says that jose and PyJWT do, with the versions that are installed here. What Edgeseal does beside them
// stands in the vectors and in outage.test.mjs.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { createRemoteJWKSet, importJWK, jwtVerify } from "jose";
import { root, target } from "../support/paths.mjs";

const page = readFileSync(join(root, "www/site/docs/concepts/comparison.md"), "utf8");
const [, , ...names] = row("");
const base64url = (value) => Buffer.from(value).toString("base64url");
const padded = (value) => base64url(value).padEnd(Math.ceil(base64url(value).length / 4) * 4, "=");

test("jose: duplicate members and padded base64 are accepted", async () => {
  says("duplicate members, padded base64", "jose (npm)", "accepted");
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  for (const encode of [base64url, padded]) {
    const input = ['{"alg":"ES256"}', '{"sub":"bob","sub":"alice"}'].map(encode).join(".");
    const signature = sign("sha256", Buffer.from(input), { key: privateKey, dsaEncoding: "ieee-p1363" });
    assert.equal((await jwtVerify(`${input}.${encode(signature)}`, publicKey)).payload.sub, "alice", input);
  }
});

test("jose: a key with e = 1, under which everybody can sign, is accepted", async () => {
  says("RSA key with `e = 1`", "jose (npm)", "accepted");
  const { n } = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
  const input = `${base64url('{"alg":"RS256"}')}.${base64url('{"sub":"anybody"}')}`;
  // The padded digest (RFC 8017 section 9.2) to the power of 1 is itself.
  const info = Buffer.from("3031300d060960864801650304020105000420", "hex");
  const digest = createHash("sha256").update(input).digest();
  const padding = Buffer.alloc(256 - 3 - info.length - digest.length, 0xff);
  const signature = Buffer.concat([Buffer.from([0, 1]), padding, Buffer.from([0]), info, digest]);
  const key = await importJWK({ kty: "RSA", n, e: base64url([1]) }, "RS256");
  assert.equal((await jwtVerify(`${input}.${base64url(signature)}`, key)).payload.sub, "anybody");
});

test("jose: the key endpoint is down, 100 verifications are 100 fetches", async () => {
  says("the key endpoint is down, 100 verifications", "jose (npm)", "100 fetches");
  let fetches = 0;
  const server = createServer((_, response) => {
    fetches += 1;
    response.writeHead(503).end();
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  try {
    const keys = createRemoteJWKSet(new URL(`http://127.0.0.1:${server.address().port}/jwks`));
    for (let times = 0; times < 100; times += 1) await assert.rejects(jwtVerify(`${base64url('{"alg":"ES256","kid":"k"}')}.${base64url("{}")}.AA`, keys));
  } finally {
    server.close();
  }
  assert.equal(fetches, 100);
});

test("PyJWT: RSA keys of 512 bits and padded base64 are accepted", () => {
  says("RSA keys of 512 bits", "PyJWT", "accepted");
  says("duplicate members, padded base64", "PyJWT", "padded base64 accepted");
  const script = "import jwt, sys; print(jwt.decode(sys.argv[1], sys.argv[2], algorithms=['RS256'])['sub'])";
  const decoded = (modulusLength, encode) => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength });
    const input = ['{"alg":"RS256"}', '{"sub":"alice"}'].map(encode).join(".");
    const token = `${input}.${encode(sign("sha256", Buffer.from(input), privateKey))}`;
    return execFileSync(join(target, "python/bin/python"), ["-W", "ignore", "-c", script, token, publicKey.export({ type: "spki", format: "pem" })], { encoding: "utf8" }).trim();
  };
  assert.equal(decoded(512, base64url), "alice");
  assert.equal(decoded(2048, padded), "alice");
});

/** The cells of the verifiers' table whose line begins with this. */
function row(first) {
  const line = page.split("\n").find((line) => line.startsWith(`| ${first}`) && line.includes("|")) ?? assert.fail(`no line "${first}"`);
  return line.split("|").map((cell) => cell.trim());
}

function says(first, name, what) {
  const cell = row(first)[names.indexOf(name) + 2];
  assert.ok(cell?.includes(what), `${name}, ${first}: the page says "${cell}", not "${what}"`);
}
