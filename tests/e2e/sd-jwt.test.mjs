// SD-JWT (RFC 9901) against a library that nobody here wrote, @sd-jwt/core of the OpenWallet Foundation: what it issues and presents
// we verify, in the npm package and on the command line; what our vectors call good it verifies as well.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";

import { SDJwtInstance } from "@sd-jwt/core";

import { bench } from "../support/harness.mjs";
import { edgeseal as command, root } from "../support/paths.mjs";

const run = promisify(execFile);
const here = bench("sd-jwt");
const issuer = "https://issuer.example.org";
const audience = "https://verifier.example.org";
const nonce = randomBytes(16).toString("base64url");
const now = Math.floor(Date.now() / 1000);

const [issuerKeys, holderKeys] = [1, 2].map(() => generateKeyPairSync("ec", { namedCurve: "P-256" }));
const jwk = ({ publicKey }) => publicKey.export({ format: "jwk" });
const jwks = { keys: [{ ...jwk(issuerKeys), alg: "ES256" }] };
const ecdsa = (key) => ({ key, dsaEncoding: "ieee-p1363" });
const signer = ({ privateKey }) => async (data) => sign("sha256", Buffer.from(data), ecdsa(privateKey)).toString("base64url");
const verifier = (key) => async (data, signature) => verify("sha256", Buffer.from(data), ecdsa(key), Buffer.from(signature, "base64url"));
const hasher = (data, algorithm) => createHash(algorithm.replace("-", "")).update(data).digest();

const library = (hashAlg) =>
  new SDJwtInstance({
    signer: signer(issuerKeys),
    signAlg: "ES256",
    verifier: verifier(issuerKeys.publicKey),
    hasher,
    hashAlg,
    saltGenerator: async (length) => randomBytes(length).toString("base64url"),
    kbSigner: signer(holderKeys),
    kbSignAlg: "ES256",
  });

const claims = {
  iss: issuer,
  iat: now,
  exp: now + 600,
  cnf: { jwk: jwk(holderKeys) },
  name: "Ada",
  address: { street: "Main St", city: "London", country: "UK" },
  nationalities: ["UK", "FR", "IT"],
  courses: [{ title: "Analysis", grade: 1 }, { title: "Poetry", grade: 2 }],
};
const frame = {
  _sd: ["name", "address", "courses"],
  _sd_decoy: 3,
  address: { _sd: ["street", "city"] },
  nationalities: { _sd: [0, 1, 2] },
  courses: { 0: { _sd: ["grade"] } },
};
const kb = { payload: { aud: audience, nonce, iat: now } };
const shown = { name: true, address: { city: true }, nationalities: { 1: true } };

let edgeseal;
before(async () => {
  edgeseal = await import(join(root, "edge-wasm/npm/dist/node.js"));
});

const ours = (options = {}) => edgeseal.createVerifier({ issuer, audience, algorithms: ["ES256"], jwks, sdJwt: { keyBinding: "required" }, ...options });
const code = (promise) => promise.then(() => "accepted", (error) => error.code);

for (const hashAlg of ["sha-256", "sha-384", "sha-512"]) {
  test(`what the library issues and presents with ${hashAlg} is verified, and only what was disclosed is told`, async () => {
    const issued = await library(hashAlg).issue(claims, frame);
    const presented = await library(hashAlg).present(issued, shown, { kb });
    const { claims: got, disclosed, header } = await ours().verify(presented, { nonce });
    const { courses, ...rest } = claims;
    assert.deepEqual(got, { ...rest, address: { city: "London", country: "UK" }, nationalities: ["FR"] });
    assert.deepEqual([...disclosed].sort(), ["/address", "/address/city", "/name", "/nationalities/0"]);
    assert.equal(header.alg, "ES256");
    const all = await ours({ audience: undefined, dangerous: { skipAudience: true } }).verify(
      await library(hashAlg).present(issued, { name: true, address: { street: true, city: true }, nationalities: { 0: true, 1: true, 2: true }, courses: { 0: { grade: true } } }, { kb }),
      { nonce },
    );
    assert.deepEqual(all.claims, claims);
  });
}

test("another nonce, another verifier, a missing proof, a disclosure less: refused", async () => {
  const issued = await library("sha-256").issue(claims, frame);
  const presented = await library("sha-256").present(issued, shown, { kb });
  const parts = presented.split("~");
  assert.equal(await code(ours().verify(presented, { nonce: "other" })), "proof_invalid");
  assert.equal(await code(ours().verify(presented)), "proof_invalid");
  assert.equal(await code(ours({ audience: "https://other.example" }).verify(presented, { nonce })), "proof_invalid");
  assert.equal(await code(ours().verify([...parts.slice(0, -1), ""].join("~"), { nonce })), "proof_required");
  assert.equal(await code(ours().verify([parts[0], ...parts.slice(2)].join("~"), { nonce })), "proof_invalid");
  assert.equal(await code(ours().verify([parts[0], parts[1], ...parts.slice(1)].join("~"), { nonce })), "disclosure_invalid");
  assert.equal(await code(ours({ sdJwt: undefined }).verify(presented, { nonce })), "token_malformed");
});

test("the command line takes it as well, and tells the holder and what was disclosed", async () => {
  const issued = await library("sha-256").issue(claims, frame);
  const presented = await library("sha-256").present(issued, shown, { kb });
  const keys = join(here.directory, "jwks.json");
  writeFileSync(keys, JSON.stringify(jwks));
  const verify = (...more) => run(command, ["verify", presented, "--issuer", issuer, "--audience", audience, "--alg", "ES256", "--jwks", keys, ...more]);
  const { stdout } = await verify("--sd-jwt", "required", "--nonce", nonce, "--json");
  const verdict = JSON.parse(stdout);
  assert.deepEqual([verdict.verdict, verdict.claims.name], ["accept", "Ada"]);
  assert.deepEqual(verdict.disclosed.sort(), ["/address", "/address/city", "/name", "/nationalities/0"]);
  const plain = (await verify("--sd-jwt", "where-bound", "--nonce", nonce)).stdout;
  assert.match(plain, /presented by the holder of [\w-]{43}/);
  const refused = (promise) => promise.then(() => assert.fail("accepted"), ({ stdout, stderr }) => stdout + stderr);
  assert.match(await refused(verify("--sd-jwt", "required", "--nonce", "other")), /✗ proof_invalid: .*"other"/);
  assert.match(await refused(verify("--sd-jwt", "required")), /✗ proof_invalid: the caller gave no nonce/);
  assert.match(await refused(verify()), /✗ token_malformed/);
  assert.match(await refused(verify("--nonce", "n")), /--sd-jwt/);
  assert.match((await verify("--sd-jwt", "required", "--dangerous-skip-nonce")).stdout, /✓ accepted/);
});

test("what our vectors call good the library takes as well", async () => {
  const lines = readFileSync(join(root, "tests/vectors/sd_jwt.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  let agreed = 0;
  for (const { id, token, jwks, expect, now } of lines) {
    // Presentations whose claims it can read: it takes a token's disclosed names into plain objects.
    if (expect !== "accept" || !token.includes("~") || id === "sd_jwt-good-proto") continue;
    const key = createPublicKey({ key: jwks.keys[0], format: "jwk" });
    const library = new SDJwtInstance({ verifier: verifier(key), hasher });
    const sdJwt = token.slice(0, token.lastIndexOf("~") + 1);
    await library.verify(sdJwt, { currentDate: now }).catch((error) => assert.fail(`${id}: ${error.message}`));
    agreed += 1;
  }
  assert.ok(agreed >= 35, `only ${agreed} vectors`);
});
