// Sender-constrained tokens at the gateway: DPoP with the replay store in a Durable Object, and client certificates.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { before, test } from "node:test";
import { assertProblem, bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { freePorts } from "../support/ports.mjs";
import { client, testIssuer } from "../support/tokens.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const here = bench("possession");
/** What every process of the gateway believes to be asked under. */
const PUBLIC = "https://api.example";
let issuer, settings, first, second;

before(async () => {
  issuer = await testIssuer();
  settings = { echo: true, issuers: [{ ...issuer.settings, jwks: issuer.jwks }] };
  const shared = join(here.directory, "registry");
  first = await here.worker(settings, { registry: shared, upstream: "api.example" });
  // Another process and another Worker, whose replay store is that of the first.
  second = await here.worker(settings, { registry: shared, upstream: "api.example", replaysOf: "edgeseal" });
});

const ask = (worker, token, proof, { scheme = "DPoP", method, path = "/hello" } = {}) =>
  call(`${worker.url}${path}`, { method, headers: { authorization: `${scheme} ${token}`, ...(proof && { dpop: proof }) } });

test("a bound token passes with a proof of its key, of every kind of key", async () => {
  // 65539: an exponent that the runtime's WebCrypto does not take.
  for (const [alg, exponent] of [["ES256"], ["EdDSA"], ["RS256"], ["PS256"], ["RS256", 65_539], ["PS256", 65_539]]) {
    const holder = await client(alg, exponent);
    const token = await issuer.issue({ cnf: { jkt: holder.jkt } });
    for (const path of ["/hello", "/hello?page=2"]) {
      const answer = await ask(first, token, await holder.prove({ url: `${PUBLIC}/hello`, token }), { path });
      assert.equal(answer.status, 200, `${alg}: ${answer.text}`);
      assert.equal(answer.json.claims.cnf.jkt, holder.jkt);
    }
  }
});

test("each proof is judged, also beside a token that was verified before", async () => {
  const holder = await client();
  const token = await issuer.issue({ cnf: { jkt: holder.jkt } });
  const good = () => holder.prove({ url: `${PUBLIC}/hello`, token });
  assert.equal((await ask(first, token, await good())).status, 200);
  const other = await client();
  const now = Math.floor(Date.now() / 1000);
  for (const [what, proof, code, error] of [
    ["no proof", undefined, "proof_required", "invalid_token"],
    ["another key", await other.prove({ url: `${PUBLIC}/hello`, token }), "proof_invalid", "invalid_token"],
    ["another method", await holder.prove({ method: "POST", url: `${PUBLIC}/hello`, token }), "proof_invalid", "invalid_dpop_proof"],
    ["another path", await holder.prove({ url: `${PUBLIC}/other`, token }), "proof_invalid", "invalid_dpop_proof"],
    ["another host", await holder.prove({ url: "https://other.example/hello", token }), "proof_invalid", "invalid_dpop_proof"],
    ["another token", await holder.prove({ url: `${PUBLIC}/hello`, token: `${token}x` }), "proof_invalid", "invalid_dpop_proof"],
    ["of an hour ago", await holder.prove({ url: `${PUBLIC}/hello`, token, iat: now - 3600 }), "proof_invalid", "invalid_dpop_proof"],
    ["of the future", await holder.prove({ url: `${PUBLIC}/hello`, token, iat: now + 300 }), "proof_invalid", "invalid_dpop_proof"],
    ["two proofs", `${await good()}, ${await good()}`, "proof_invalid", "invalid_dpop_proof"],
    ["no JWT", "x", "proof_invalid", "invalid_dpop_proof"],
  ]) {
    const answer = await ask(first, token, proof);
    assertProblem(answer, 401, code);
    const challenge = answer.headers["www-authenticate"];
    assert.ok(challenge.includes(`DPoP error="${error}"`) && /algs="[^"]*ES256/.test(challenge), `${what}: ${challenge}`);
  }
  assert.equal((await ask(first, token, await good())).status, 200);
});

test("a bound token is no bearer token, and DPoP is not for tokens that are bound to nothing", async () => {
  const holder = await client();
  const bound = await issuer.issue({ cnf: { jkt: holder.jkt } });
  assertProblem(await ask(first, bound, undefined, { scheme: "Bearer" }), 401, "proof_required");
  assertProblem(await ask(first, bound, await holder.prove({ url: `${PUBLIC}/hello`, token: bound }), { scheme: "Bearer" }), 401, "proof_required");
  const plain = await issuer.issue();
  const proof = await holder.prove({ url: `${PUBLIC}/hello`, token: plain });
  assertProblem(await ask(first, plain, proof), 401, "proof_invalid");
  assert.equal((await ask(first, plain, undefined, { scheme: "Bearer" })).status, 200);
  // Verified before or not.
  assertProblem(await ask(first, plain, proof), 401, "proof_invalid");
  const unknown = await issuer.issue({ cnf: { jwk: { kty: "EC" } } });
  assertProblem(await ask(first, unknown, await holder.prove({ url: `${PUBLIC}/hello`, token: unknown })), 401, "proof_required");
});

test("a proof is accepted once, by whichever process", async () => {
  const holder = await client();
  const token = await issuer.issue({ cnf: { jkt: holder.jkt } });
  const proof = await holder.prove({ url: `${PUBLIC}/hello`, token });
  assert.equal((await ask(first, token, proof)).status, 200);
  for (const worker of [first, second, second, first]) {
    const answer = await ask(worker, token, proof);
    assertProblem(answer, 401, "proof_replayed");
    assert.match(answer.headers["www-authenticate"], /DPoP error="invalid_dpop_proof"/);
  }
  // The other way round, and a refused proof leaves nothing behind.
  const next = await holder.prove({ url: `${PUBLIC}/hello`, token });
  assertProblem(await ask(second, token, next, { path: "/other" }), 401, "proof_invalid");
  assert.equal((await ask(second, token, next)).status, 200);
  assertProblem(await ask(first, token, next), 401, "proof_replayed");
  // Of one proof sent twenty times at once, one passes.
  const contested = await holder.prove({ url: `${PUBLIC}/hello`, token });
  const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => ask(index % 2 ? first : second, token, contested)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(401)]);
});

test("a certificate-bound token passes with the certificate that the platform has verified, and no client can say it itself", async () => {
  const der = randomBytes(300);
  const digest = createHash("sha256").update(der);
  const fingerprint = digest.copy().digest("hex");
  const token = await issuer.issue({ cnf: { "x5t#S256": digest.digest("base64url") } });
  const [trusted, open] = await freePorts(2);
  // The first socket is what the platform's servers are to workerd: they write request.cf. Clients reach the second one.
  const sockets = { trusted: { port: trusted, cfBlobHeader: "x-test-cf" }, open: { port: open } };
  const served = await startWorkerd({ folder: join(here.directory, "certificates"), mark: here.mark, settings, sockets });
  here.cleanup(() => served.stop());
  const told = (more = {}) => ({ certPresented: "1", certVerified: "SUCCESS", certRevoked: "0", certFingerprintSHA256: fingerprint, ...more });
  const asked = (port, cf, text = token) => call(`http://127.0.0.1:${port}/hello`, { headers: { authorization: `Bearer ${text}`, ...(cf && { "x-test-cf": JSON.stringify({ tlsClientAuth: cf }) }) } });

  const answer = await asked(trusted, told());
  assert.equal(answer.status, 200, answer.text);
  assert.equal((await asked(trusted, told({ certFingerprintSHA256: fingerprint.toUpperCase() }))).status, 200, "octets are compared, not texts");
  for (const [cf, code] of [
    [undefined, "proof_required"],
    [told({ certVerified: "FAILED:self signed certificate" }), "proof_required"],
    [told({ certVerified: "NONE", certPresented: "0" }), "proof_required"],
    [told({ certRevoked: "1" }), "proof_required"],
    [told({ certFingerprintSHA256: "" }), "proof_required"],
    [told({ certFingerprintSHA256: createHash("sha256").update("other").digest("hex") }), "proof_invalid"],
  ]) assertProblem(await asked(trusted, cf), 401, code);
  // The same header to the socket that clients reach is a header like any other.
  assertProblem(await asked(open, told()), 401, "proof_required");
  for (const name of ["cf-client-cert-sha256", "client-cert", "x-client-cert-sha256", "cf-blob"]) {
    assertProblem(await call(`http://127.0.0.1:${open}/hello`, { headers: { authorization: `Bearer ${token}`, [name]: fingerprint } }), 401, "proof_required");
  }
  assert.equal((await asked(open, undefined, await issuer.issue())).status, 200);
});

test("DPoP is offered where the configuration names it", async () => {
  const missing = await call(`${first.url}/hello`);
  assert.equal(missing.headers["www-authenticate"], 'Bearer realm="edgeseal"');
  const [port] = await freePorts(1);
  const served = await startWorkerd({ folder: join(here.directory, "offers"), mark: here.mark, settings: { ...settings, dpop: { algorithms: ["ES256", "PS256"], max_age: 30 } }, sockets: { open: { port } } });
  here.cleanup(() => served.stop());
  const offered = await call(`http://127.0.0.1:${port}/hello`);
  assert.equal(offered.headers["www-authenticate"], 'Bearer realm="edgeseal", DPoP algs="ES256 PS256"');
  const holder = await client("EdDSA");
  const token = await issuer.issue({ cnf: { jkt: holder.jkt } });
  const url = `http://127.0.0.1:${port}/hello`;
  assertProblem(await call(url, { headers: { authorization: `DPoP ${token}`, dpop: await holder.prove({ url, token }) } }), 401, "proof_invalid");
  const old = await client();
  const bound = await issuer.issue({ cnf: { jkt: old.jkt } });
  const at = (seconds) => old.prove({ url, token: bound, iat: Math.floor(Date.now() / 1000) - seconds });
  assertProblem(await call(url, { headers: { authorization: `DPoP ${bound}`, dpop: await at(45) } }), 401, "proof_invalid");
  const good = await call(url, { headers: { authorization: `DPoP ${bound}`, dpop: await at(20) } });
  assert.equal(good.status, 200, good.text);
});
