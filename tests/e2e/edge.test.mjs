// The Worker in workerd in front of a real origin: what it lets through, what it refuses, and what a client can see or fake.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { AUDIENCE, algorithmsOf, assertProblem, bench, tokenOf } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { algorithmNone, claims, flipSignatureBit, foreignKey, unsigned } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";

const here = bench("edge");
let signer, origin, worker;

before(async () => {
  signer = await here.signer();
  origin = await here.server((request, response) => response.writeHead(200, { "content-type": "text/plain", "x-from": "origin" }).end(`origin saw ${request.method} ${request.url}`));
  worker = await here.worker({ origin: origin.url, issuers: [{ issuer: signer.ready.issuer, audience: AUDIENCE, algorithms: algorithmsOf(signer), leeway: 0 }] }, { ca: signer.ready.ca });
});

const claimsSeen = (request) => JSON.parse(Buffer.from(request.headers["edgeseal-claims"], "base64url").toString("utf8"));

test("a token of every algorithm the HSM can sign is let through, with its claims", async () => {
  const algorithms = algorithmsOf(signer);
  for (const wanted of ["ES256", "RS256", "PS256"]) assert.ok(algorithms.includes(wanted), `${wanted} is among ${algorithms}`);
  for (const algorithm of algorithms) {
    const token = await tokenOf(signer, { algorithm, claims: { sub: `alice-${algorithm}` } });
    const answer = await worker.ask(token, { path: "/hello?who=me" });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, "origin saw GET /hello?who=me");
    assert.equal(answer.headers["x-from"], "origin");
    assert.deepEqual(claimsSeen(origin.requests.at(-1)), claims(token));
  }
});

test("method and body reach the origin", async () => {
  const token = await tokenOf(signer);
  const answer = await worker.ask(token, { method: "PUT", path: "/things/1", body: { name: "käse" } });
  assert.equal(answer.text, "origin saw PUT /things/1");
  assert.equal(origin.requests.at(-1).body, '{"name":"käse"}');
});

test("claims headers that a client sends never reach the origin", async () => {
  const token = await tokenOf(signer);
  const forged = Buffer.from('{"sub":"root"}').toString("base64url");
  const answer = await call(`${worker.url}/spoof`, {
    headers: ["authorization", `Bearer ${token}`, "edgeseal-claims", forged, "Edgeseal-Claims", forged, "EDGESEAL-CLAIMS", "x", "edgeseal-issuer", "https://evil.example", "x-mine", "kept"],
  });
  assert.equal(answer.status, 200, answer.text);
  const request = origin.requests.at(-1);
  const ours = request.rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()).filter((name) => name.startsWith("edgeseal-"));
  assert.deepEqual(ours, ["edgeseal-claims"]);
  assert.equal(claimsSeen(request).sub, "alice");
  assert.equal(request.headers["x-mine"], "kept");
});

test("no token: 401 that names the scheme and, as RFC 6750 section 3 says, no error", async () => {
  const before_ = origin.requests.length;
  const answer = await call(`${worker.url}/hello`);
  assert.equal(answer.status, 401);
  assert.match(answer.headers["www-authenticate"], /^Bearer\b/);
  assert.doesNotMatch(answer.headers["www-authenticate"], /error=/);
  assert.equal(origin.requests.length, before_, "nothing was forwarded");
});

test("two Authorization headers are refused, whatever they hold", async () => {
  const token = await tokenOf(signer);
  const before_ = origin.requests.length;
  for (const second of [`Bearer ${token}`, "Basic YTpi"]) {
    const answer = await call(`${worker.url}/hello`, { headers: ["authorization", `Bearer ${token}`, "authorization", second] });
    assert.ok([400, 401].includes(answer.status), `${answer.status} ${answer.text}`);
    assert.match(answer.headers["content-type"], /^application\/problem\+json/);
  }
  assert.equal(origin.requests.length, before_, "nothing was forwarded");
});

test("each way to break a token has its code in the problem document and invalid_token in the challenge", async () => {
  const token = await tokenOf(signer);
  const short = await tokenOf(signer, { ttl: "1s" });
  const before_ = origin.requests.length;
  await until("the short token expires", () => Date.now() / 1000 >= claims(short).exp, { seconds: 10 });
  const broken = {
    signature_invalid: flipSignatureBit(token),
    audience_mismatch: await tokenOf(signer, { audience: "https://other.example.com" }),
    token_expired: short,
    algorithm_not_allowed: algorithmNone(token),
    key_not_found: await foreignKey(token),
    token_malformed: token.split(".").slice(0, 2).join("."),
  };
  for (const [code, candidate] of [...Object.entries(broken), ["algorithm_not_allowed", unsigned(token)]]) {
    const answer = await worker.ask(candidate);
    assertProblem(answer, 401, code);
    assert.match(answer.headers["www-authenticate"], /^Bearer\b.*error="invalid_token"/);
    assert.ok(!answer.text.includes(candidate.split(".")[1]), "the body repeats nothing of the token");
  }
  assert.equal(origin.requests.length, before_, "nothing was forwarded");
});

test("hostile requests get an answer, and the Worker goes on", async () => {
  const token = await tokenOf(signer);
  for (const candidate of ["", "a", "..", "a.b.c", ".".repeat(5000), `${"x".repeat(9000)}.${"y".repeat(3000)}.z`, `${token}.${token}`, "é.ü.ß".normalize("NFD").replace(/[^\x00-\x7f]/g, "~"), `${token}=`]) {
    const answer = await worker.ask(null, { headers: { authorization: `Bearer ${candidate}` } });
    assert.ok([400, 401].includes(answer.status), `${candidate.slice(0, 20)}…: ${answer.status}`);
  }
  assert.equal((await worker.ask(token)).status, 200);
});

test("an origin that is down is a 502, not a verdict about the token", async () => {
  const token = await tokenOf(signer);
  await origin.stop();
  const answer = await worker.ask(token);
  await origin.resume();
  assert.equal(answer.status, 502, answer.text);
  assert.equal((await worker.ask(token)).status, 200);
});
