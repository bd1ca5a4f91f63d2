// What is bound to the Worker, as it comes and as it fails: the data set, the Durable Objects, and what the runtime is asked for an origin.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { before, test } from "node:test";
import { SignJWT } from "jose";
import { assertProblem, bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { freePorts } from "../support/ports.mjs";
import { flipSignatureBit } from "../support/tamper.mjs";
import { client, testIssuer } from "../support/tokens.mjs";
import { until } from "../support/wait.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const here = bench("bindings");
const ANALYTICS = "{ writeDataPoint(point) { console.log('POINT ' + JSON.stringify(point)); } }";
/** A namespace of Durable Objects, as the WebAssembly knows one, whose objects do this. */
const objects = (fetch) => `new (class DurableObjectNamespace { getByName() { return { fetch() { ${fetch} } }; } })()`;
let issuer, token, count = 0;

before(async () => {
  issuer = await testIssuer();
  token = await issuer.issue();
});

/** `more` are settings beside those of the test's issuer. */
async function gateway(more = {}, wrapped = {}) {
  const [port] = await freePorts(1);
  const settings = { ...(more.origin ? {} : { echo: true }), issuers: [{ ...issuer.settings, jwks: issuer.jwks }], ...more };
  const served = await startWorkerd({ folder: join(here.directory, `workerd-${(count += 1)}`), mark: here.mark, settings, sockets: { open: { port } }, wrapped });
  here.cleanup(() => served.stop());
  const url = `http://127.0.0.1:${port}`;
  return Object.assign(served, { url, ask: (path, headers = { authorization: `Bearer ${token}` }, rest = {}) => call(`${url}${path}`, { headers, ...rest }) });
}

const points = (worker) => worker.output().split("\n").filter((line) => line.includes("POINT ")).map((line) => JSON.parse(line.slice(line.indexOf("POINT ") + 6)));
/** The lines of the Worker's log with this event. */
const logged = (worker, event) => worker.output().split("\n").filter((line) => line.includes(`"event":"${event}"`)).map((line) => JSON.parse(line.slice(line.indexOf("{"))));

test("a point for each request: its code, its method, its status, never whose it was", async () => {
  const worker = await gateway({}, { EDGESEAL_ANALYTICS: ANALYTICS });
  const asked = [
    [() => worker.ask("/hello"), 200, ["passed", "GET"]],
    [() => worker.ask("/hello", {}), 401, ["token_missing", "GET"]],
    [() => worker.ask("/a%2fb", undefined, { method: "DELETE" }), 400, ["path_invalid", "DELETE"]],
    [() => worker.ask("/hello", undefined, { method: "PROPFIND" }), 200, ["passed", "PROPFIND"]],
  ];
  for (const [ask, status, blobs] of asked) {
    const before = points(worker).length;
    const answer = await ask();
    assert.equal(answer.status, status, answer.text);
    const written = await until("the point is written", () => points(worker).length > before && points(worker).slice(before));
    assert.equal(written.length, 1);
    const [{ doubles, ...point }] = written;
    assert.deepEqual(point, { indexes: [blobs[0]], blobs });
    assert.equal(doubles[0], status);
    assert.ok(doubles.length === 2 && doubles[1] >= 0 && doubles[1] < 10_000, JSON.stringify(doubles));
  }
});

test("a data set that fails stops no request, and the log says so", async () => {
  const worker = await gateway({}, { EDGESEAL_ANALYTICS: "{ writeDataPoint() { throw new Error('full'); } }" });
  assert.equal((await worker.ask("/hello")).status, 200);
  assertProblem(await worker.ask("/hello", {}), 401, "token_missing");
  await until("the log says so", () => logged(worker, "analytics_unavailable").length === 2);
  assert.equal(points(worker).length, 0);
});

test("what somebody in particular asked for goes past the cache that all share; what anybody may ask for does not", async () => {
  const origin = await here.server((_, response) => response.writeHead(200, { "cache-control": "max-age=3600" }).end("mine"));
  const worker = await gateway({ origin: origin.url, routes: [{ match: "/optional/*", access: "optional" }, { match: "/public/*", access: "public" }] });
  for (const [path, headers, isPersonal] of [
    ["/x.css", undefined, true],
    ["/optional/x.css", undefined, true],
    ["/optional/x.css", {}, false],
    ["/public/x.css", {}, false],
  ]) {
    assert.equal((await worker.ask(path, headers)).text, "mine");
    const { headers: seen } = origin.requests.at(-1);
    assert.deepEqual([seen["cache-control"], seen.pragma], isPersonal ? ["no-cache", "no-cache"] : [undefined, undefined], path);
    assert.equal(seen.authorization, undefined);
  }
  // Bodies and methods come along, and what the client says of caches itself stays.
  const posted = await worker.ask("/x", { authorization: `Bearer ${token}`, "cache-control": "max-age=0" }, { method: "PATCH", body: { a: 1 } });
  assert.equal(posted.status, 200, posted.text);
  const last = origin.requests.at(-1);
  assert.deepEqual([last.method, last.body, last.headers["cache-control"]], ["PATCH", '{"a":1}', "max-age=0"]);
});

test("revocation and DPoP are configured, and nothing remembers: said at the start, not to every token", async () => {
  const control = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const control_keys = [{ ...control.publicKey.export({ format: "jwk" }), kid: "c", alg: "ES256" }];
  for (const [more, wrapped, reason] of [
    [{ revocation: { edge: "eu", control_keys } }, {}, "revocation: needs the Durable Object EDGESEAL_REVOCATIONS"],
    [{ dpop: {} }, { EDGESEAL_REPLAYS: "undefined" }, "dpop: needs the Durable Object EDGESEAL_REPLAYS"],
  ]) {
    const worker = await gateway(more, wrapped);
    // Whatever is asked, the log says why: health and pushes may be all that a Worker is asked.
    const lines = () => logged(worker, "configuration_invalid").filter((line) => line.reason.startsWith(reason)).length;
    for (const [target, method] of [["/.edgeseal/health", "GET"], ["/.edgeseal/revocations", "POST"], ["/hello", "GET"]]) {
      const before = lines();
      assertProblem(await worker.ask(target, undefined, { method }), 500, "configuration_invalid");
      await until(`the log names the setting, for ${target}`, () => lines() > before);
    }
  }
});

test("a push that cannot be stored may come again, and says when; one by another method says which", async () => {
  const control = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const control_keys = [{ ...control.publicKey.export({ format: "jwk" }), kid: "c", alg: "ES256" }];
  const worker = await gateway({ revocation: { edge: "eu", control_keys } }, { EDGESEAL_REVOCATIONS: objects("throw new Error('moving')") });
  const document = await new SignJWT({ seq: 1, kids: [], jtis: [], subs: [] }).setProtectedHeader({ alg: "ES256", kid: "c", typ: "edgeseal-revocation+jwt" })
    .setAudience("eu").setIssuedAt().setExpirationTime("5m").sign(control.privateKey);
  const answer = await call(`${worker.url}/.edgeseal/revocations`, { body: { document } });
  assertProblem(answer, 503, "revocation_unavailable");
  assert.match(answer.headers["retry-after"], /^\d+$/);
  await until("the log says why", () => logged(worker, "revocation_not_stored").length === 1);
  const get = await call(`${worker.url}/.edgeseal/revocations`);
  assertProblem(get, 405, "method_not_allowed");
  assert.equal(get.headers.allow, "POST");
  assertProblem(await call(`${worker.url}/.edgeseal/revocations`, { body: { document: flipSignatureBit(document) } }), 403, "signature_invalid");
  await until("the log says it", () => logged(worker, "revocation_refused").some(({ code }) => code === "signature_invalid"));
});

test("a control key of RSA may have an exponent that the runtime does not take", async () => {
  const control = generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent: 65_539 });
  const control_keys = [{ ...control.publicKey.export({ format: "jwk" }), kid: "c", alg: "RS256" }];
  const worker = await gateway({ revocation: { edge: "eu", control_keys } }, { EDGESEAL_REVOCATIONS: objects("throw new Error('moving')") });
  const document = await new SignJWT({ seq: 1, kids: [], jtis: [], subs: [] }).setProtectedHeader({ alg: "RS256", kid: "c", typ: "edgeseal-revocation+jwt" })
    .setAudience("eu").setIssuedAt().setExpirationTime("5m").sign(control.privateKey);
  const push = (text) => call(`${worker.url}/.edgeseal/revocations`, { body: { document: text } });
  assertProblem(await push(flipSignatureBit(document)), 403, "signature_invalid");
  assertProblem(await push(document), 503, "revocation_unavailable");
  const [{ reason }] = await until("the log says why", () => logged(worker, "revocation_not_stored").length === 1 && logged(worker, "revocation_not_stored"));
  assert.match(reason, /moving/);
});

test("a configuration that is edited in an outage of all that it is about forgets neither what is revoked nor the keys", { timeout: 150_000 }, async () => {
  let down = false;
  const keys = await here.server((_, response) => (down ? response.destroy() : response.end(JSON.stringify(issuer.jwks))));
  const control = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const revocation = { edge: "eu", control_keys: [{ ...control.publicKey.export({ format: "jwk" }), kid: "c", alg: "ES256" }], refresh: 2 };
  const settings = { echo: true, issuers: [{ ...issuer.settings, jwks_uri: `${keys.url}/jwks` }] };
  const before = { ...settings, revocation };
  const after = { ...settings, revocation: { ...revocation, when_stale: "continue" }, routes: [{ match: "/open/*", access: "public" }] };
  const revoked = await issuer.issue();
  const { iss, jti, exp } = JSON.parse(Buffer.from(revoked.split(".")[1], "base64url").toString());
  const list = { seq: 1, kids: [], jtis: [{ iss, jti, until: exp }], subs: [] };
  const documents = [before, after].map((document) => JSON.stringify(JSON.stringify(document)));
  const [port] = await freePorts(1);
  const worker = await startWorkerd({
    folder: join(here.directory, `workerd-${(count += 1)}`),
    mark: here.mark,
    settings,
    sockets: { open: { port } },
    vars: { EDGESEAL: "kv:CONFIG/gateway.json" },
    wrapped: {
      CONFIG: `{ reads: 0, async get() { this.reads += 1; return this.reads === 1 ? ${documents[0]} : ${documents[1]}; } }`,
      // It is read once, and never again.
      EDGESEAL_REVOCATIONS: objects(`if (globalThis.wasRead) throw new Error("moving"); globalThis.wasRead = true; return Promise.resolve(new Response(${JSON.stringify(JSON.stringify(list))}));`),
    },
  });
  here.cleanup(() => worker.stop());
  const made = Date.now();
  const ask = (text, path = "/hello") => call(`http://127.0.0.1:${port}${path}`, { headers: text ? { authorization: `Bearer ${text}` } : {} });
  assertProblem(await ask(revoked), 401, "token_revoked");
  assert.equal((await ask(token)).status, 200);
  down = true;
  await until("nobody knows what is revoked", async () => (await ask(token)).status === 503);
  assertProblem(await ask(revoked), 401, "token_revoked");

  await new Promise((resolve) => setTimeout(resolve, made + 61_000 - Date.now()));
  await until("the new configuration is there", async () => (await ask(null, "/open/x")).status === 200);
  assert.equal((await ask(token)).status, 200);
  assertProblem(await ask(revoked), 401, "token_revoked");
  await until("the log says so", () => logged(worker, "revocation_stale").length > 0);
  assert.equal(keys.requests.length, 1);
});

test("a replay store that never answers keeps nobody waiting for long", async () => {
  const worker = await gateway({}, { EDGESEAL_REPLAYS: objects("return new Promise(() => {})") });
  const holder = await client();
  const bound = await issuer.issue({ cnf: { jkt: holder.jkt } });
  const url = `${worker.url}/hello`;
  const began = Date.now();
  const answer = await call(url, { headers: { authorization: `DPoP ${bound}`, dpop: await holder.prove({ url, token: bound }) }, seconds: 20 });
  assertProblem(answer, 503, "replay_store_unavailable");
  assert.ok(Date.now() - began < 8_000, `${Date.now() - began} ms`);
});

test("a rate limiting binding that is not there, or fails, limits nobody, and the log says so", async () => {
  const routes = [{ match: "/none", access: "public", rate_limit: { binding: "NONE", key: "ip" } }, { match: "/broken", access: "public", rate_limit: { binding: "BROKEN", key: "ip" } }];
  const worker = await gateway({ routes }, { BROKEN: "{ async limit() { throw new Error('no counter'); } }" });
  for (const path of ["/none", "/broken"]) assert.equal((await worker.ask(path, {})).status, 200);
  const lines = await until("the log says so", () => logged(worker, "rate_limit_unavailable").length === 2 && logged(worker, "rate_limit_unavailable"));
  assert.deepEqual(lines.map(({ level, binding, reason }) => [level, binding, reason]), [["error", "NONE", "nothing is bound as NONE"], ["error", "BROKEN", "no counter"]]);
});

test("KV may take its time to write, while nobody waits", async () => {
  const keys = await here.server((_, response) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(issuer.jwks)));
  const slow = "{ async get() { return null; }, put(name) { return new Promise((done) => setTimeout(() => { console.log('PUT ' + name); done(); }, 1000)); } }";
  const worker = await gateway({ issuers: [{ ...issuer.settings, jwks_uri: `${keys.url}/jwks` }] }, { EDGESEAL_KEYS: slow });
  assert.equal((await worker.ask("/hello")).status, 200);
  await until("it is written", () => worker.output().includes("PUT jwks/v1/"));
  // And the layer behind it, which there is none of here, is told last.
  await until("the last layer", () => logged(worker, "keys_not_stored").some(({ layer }) => layer === "cache"));
  assert.deepEqual(logged(worker, "keys_not_stored").filter(({ layer }) => layer === "kv"), []);
});
