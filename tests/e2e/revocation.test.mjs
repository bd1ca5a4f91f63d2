// Revocation, from the signer's command to two workerd processes that share one Durable Object, one of which nobody pushes to; and
// to a third edge that no push reaches, by its cron trigger. R is 3 s here.

import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { AUDIENCE, assertProblem, bench, profileOf, tokenOf } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { edgeseal, root } from "../support/paths.mjs";
import { freePorts } from "../support/ports.mjs";
import { start } from "../support/processes.mjs";
import { cli, keysGenerate } from "../support/signer.mjs";
import { header } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";

const here = bench("revocation");
const R = 3;
/** Seconds in which every isolate must know. */
const BOUND = R + 2;
let signer, first, second, alone, blocked;
/** What the third edge fetches instead of the signer's document. */
let held;

const command = async (...args) => {
  const { code, out, err } = await cli([...args, "--dir", signer.state, "--json"]);
  assert.equal(code, 0, `edgeseal ${args.join(" ")}: ${err || out}`);
  return JSON.parse(out);
};
const documentOf = (edge) => call(`${signer.ready.issuer}/.well-known/edgeseal-revocations?edge=${edge}`, { ca: signer.ca });
const push = (document, worker = first) => call(`${worker.url}/.edgeseal/revocations`, { body: { document } });
const part = (document, index) => JSON.parse(Buffer.from(document.split(".")[index], "base64url").toString("utf8"));

/** Seconds after `from` at which the Worker refuses a token as revoked; it accepts it until then, and gives no other answer. */
async function refusedAfter(worker, token, from) {
  const refusal = await until("the token is refused", async () => {
    const answer = await worker.ask(token);
    return answer.status !== 200 && answer;
  }, { seconds: 60, every: 50 });
  const seconds = (Date.now() - from) / 1000;
  assertProblem(refusal, 401, "token_revoked");
  assert.match(refusal.headers["www-authenticate"], /^Bearer error="invalid_token"/);
  return seconds;
}

before(async () => {
  const dev = await here.signer({ args: ["--alg", "ES256"] });
  assert.equal(await dev.stop(), "exit 0");
  const [eu, us] = await freePorts(2);
  blocked = us;
  appendFileSync(join(dev.state, "edgeseal.toml"), `\n[edges.eu]\nurl = "http://127.0.0.1:${eu}"\n[edges.us]\nurl = "http://127.0.0.1:${us}"\nid = "us-1"\n`);
  const served = start({ name: "edgeseal serve", command: edgeseal, args: ["serve", "--config", join(dev.state, "edgeseal.toml")], log: join(here.directory, "serve.log"), mark: here.mark });
  here.cleanup(() => served.stop());
  await until("the signer serves", async () => (await call(`${dev.ready.issuer}/readyz`, { ca: dev.ca }).catch(() => ({}))).status === 200, { seconds: 60, giveUp: () => served.trouble });
  signer = Object.assign(served, { ready: dev.ready, state: dev.state, ca: dev.ca });

  const settingsOf = async (edge) => ({
    echo: true,
    issuers: [{ issuer: dev.ready.issuer, audience: AUDIENCE, algorithms: ["ES256"] }],
    revocation: { ...(await command("edges", "pin", edge)), refresh: R },
  });
  const registry = join(here.directory, "registry");
  // The next control key is made soon after the start, once the current one is there.
  const settings = await until("the current and the next control key", async () => {
    const settings = await settingsOf("eu");
    return settings.revocation.control_keys.length === 2 && settings;
  });
  first = await here.worker(settings, { ca: dev.ready.ca, port: eu, registry });
  // Another process, whose binding leads to the Durable Object of the first.
  const config = join(here.directory, "second.json");
  writeFileSync(config, JSON.stringify({
    name: "edgeseal-second",
    main: join(root, "edge-wasm/build/index.js"),
    compatibility_date: "2026-10-01",
    durable_objects: { bindings: [{ name: "EDGESEAL_REVOCATIONS", class_name: "EdgesealRevocations", script_name: "edgeseal" }] },
  }));
  second = await here.worker(settings, { ca: dev.ready.ca, registry, config });
  const between = await here.server(async ({ url }, response) => response.end(held ?? (await call(`${dev.ready.issuer}${url}`, { ca: dev.ca })).text));
  const { revocation, ...rest } = await settingsOf("us");
  alone = await here.worker({ ...rest, revocation: { ...revocation, url: revocation.url.replace(dev.ready.issuer, between.url) } }, { ca: dev.ready.ca });
});

test("the signer tells the edge that it looks after it, and publishes signed documents", async () => {
  const told = await until("the edge has acknowledged", async () => {
    const { edges } = await command("edges", "list");
    const eu = edges.find((edge) => edge.name === "eu");
    return eu.state === "current" && eu;
  });
  assert.ok(told.seq >= 1 && told.acknowledged_at && told.bound_by && told.reread_by, JSON.stringify(told));
  const document = (await documentOf("eu")).text;
  assert.equal(part(document, 0).typ, "edgeseal-revocation+jwt");
  const { aud, exp, iat } = part(document, 1);
  assert.deepEqual([aud, exp - iat], ["eu", 600]);
  // The control key is in no JWK Set.
  const served = await call(signer.ready.jwks_uri, { ca: signer.ca });
  assert.ok(served.json.keys.length > 0 && !served.json.keys.some((key) => key.kid === part(document, 0).kid));
});

test("documents that nobody should believe", async () => {
  const document = (await documentOf("eu")).text;
  assertProblem(await push(document), 409, "sequence_not_rising");
  const known = (await push(document)).json.seq;
  assert.equal(known, part(document, 1).seq, "a replay of what is known");
  const [head, payload, signature] = document.split(".");
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  // A higher sequence, without the key.
  assertProblem(await push(`${head}.${encode({ ...part(document, 1), seq: known + 1 })}.${signature}`), 403, "signature_invalid");
  assertProblem(await push(`${encode({ ...part(document, 0), alg: "none" })}.${payload}.`), 403, "algorithm_not_allowed");
  // The signer's own signature, by the key of a profile: as a token, and as a document.
  const token = await tokenOf(signer);
  assertProblem(await push(token), 403, "type_mismatch");
  assertProblem(await push(`${encode({ ...part(document, 0), kid: header(token).kid })}.${payload}.${token.split(".")[2]}`), 403, "key_not_found");
  assertProblem(await push(`${head}.${payload}.${token.split(".")[2]}`), 403, "signature_invalid");
  // The document of another edge.
  assertProblem(await push((await documentOf("us-1")).text), 403, "audience_mismatch");
  assertProblem(await push("x".repeat(600_000)), 413, "document_too_large");
  assertProblem(await push(7), 400, "request_malformed");
  assertProblem(await call(`${first.url}/.edgeseal/revocations`), 405, "method_not_allowed");
  assert.equal((await first.ask(token)).status, 200);
});

test("pushes that do not arrive: four at once, for five seconds", async () => {
  const document = (await documentOf("eu")).text;
  const begin = () => new Promise((resolve, reject) => {
    const headers = { "content-type": "application/json", "content-length": 1000 };
    const begun = request(`${first.url}/.edgeseal/revocations`, { method: "POST", headers, family: 4 }, (response) => response.resume().on("end", () => resolve(response.statusCode)));
    begun.on("error", reject).write("{");
  });
  const begun = Promise.all([begin(), begin(), begin(), begin()]);
  const busy = await until("all places are taken", async () => {
    const answer = await push(document);
    return answer.status === 503 && answer;
  }, { seconds: 4, every: 50 });
  assertProblem(busy, 503, "revocation_unavailable");
  assert.ok(busy.headers["retry-after"] >= 1);
  assert.deepEqual(await begun, [400, 400, 400, 400]);
  assertProblem(await push(document), 409, "sequence_not_rising");
});

test("compromise drill: both processes refuse the key's tokens within R + 2 seconds, and take the successor's", async () => {
  const token = await tokenOf(signer);
  const { kid } = header(token);
  const earlier = (await documentOf("eu")).text;
  // A standby, so that somebody can sign afterwards.
  await keysGenerate(signer, profileOf(signer, "ES256"));
  for (let i = 0; i < 3; i += 1) for (const worker of [first, second]) assert.equal((await worker.ask(token)).status, 200);
  const from = Date.now();
  const revoked = command("revoke", "kid", kid, "--yes", "--no-wait");
  const seconds = await Promise.all([first, second].map((worker) => refusedAfter(worker, token, from)));
  assert.equal((await revoked).state, "compromised");
  assert.ok(seconds.every((one) => one <= BOUND), `${seconds} s`);
  console.log(`refused after ${seconds} s (pushed to, not pushed to), bound ${BOUND} s`);
  // Acknowledged, for people.
  const eu = await until("it is acknowledged", async () => (await command("edges", "list")).edges.find((edge) => edge.name === "eu" && edge.state === "current"));
  assert.ok(eu.seq > part(earlier, 1).seq);
  assertProblem(await push(earlier), 409, "sequence_not_rising");
  const fresh = await until("the successor signs", async () => {
    const one = await tokenOf(signer).catch(() => null);
    return one && header(one).kid !== kid && one;
  });
  for (const worker of [first, second]) assert.equal((await until("it is accepted", async () => {
    const answer = await worker.ask(fresh);
    return answer.status === 200 && answer;
  }, { seconds: 20 })).status, 200);
});

test("one token, and what a subject was issued", async () => {
  const [one, other] = [await tokenOf(signer, { claims: { sub: "bob" } }), await tokenOf(signer, { claims: { sub: "carol" } })];
  for (const token of [one, other]) assert.equal((await second.ask(token)).status, 200);
  let from = Date.now();
  const said = await command("revoke", "jti", part(one, 1).jti, "--yes");
  assert.deepEqual(said.edges.map(({ name, state }) => [name, state]), [["eu", "current"], ["us", "pending"]]);
  assert.ok(await refusedAfter(second, one, Date.now()) <= BOUND);
  assert.equal((await second.ask(other)).status, 200, "the others are as good as before");
  from = Date.now();
  await command("revoke", "sub", "carol", "--no-wait", "--yes");
  assert.ok(await refusedAfter(second, other, from) <= BOUND);
  await until("a second has passed", () => Date.now() - from > 1500);
  const later = await tokenOf(signer, { claims: { sub: "carol" } });
  for (const worker of [first, second]) assert.equal((await worker.ask(later)).status, 200, "what is issued from now on is good");
});

test("with the push blocked, the cron trigger fetches the list", async () => {
  const token = await tokenOf(signer, { claims: { sub: "dave" } });
  assert.equal((await alone.ask(token)).status, 200);
  const earlier = (await documentOf("us-1")).text;
  const { jti } = part(token, 1);
  await command("revoke", "jti", jti, "--no-wait", "--yes");
  await until("the document says it", async () => part((await documentOf("us-1")).text, 1).jtis.some((one) => one.jti === jti), { seconds: 10 });
  const us = await until("the push fails", async () => (await command("edges", "list")).edges.find((edge) => edge.name === "us" && edge.trouble));
  assert.equal(us.state, "pending");
  assert.match(us.trouble, new RegExp(`127.0.0.1:${blocked}`));
  assert.equal((await alone.ask(token)).status, 200, "nobody told it");
  const from = Date.now();
  assert.equal((await call(`${alone.url}/cdn-cgi/local/scheduled`)).status, 200);
  assert.ok(await refusedAfter(alone, token, from) <= BOUND);
  // The same again is no news; a signer that is behind what is known is worth a line.
  const scheduled = () => call(`${alone.url}/cdn-cgi/local/scheduled`);
  assert.equal((await scheduled()).status, 200);
  assert.doesNotMatch(alone.output(), /sequence_not_rising/);
  held = earlier;
  assert.equal((await scheduled()).status, 200);
  await until("it is in the log", () => /"event":"revocation_refused","code":"sequence_not_rising","seq":"\d+"/.test(alone.output()));
});

test("cut off from the list, a process answers 503 after 3 R, never by what it has forgotten", async () => {
  const token = await tokenOf(signer);
  assert.equal((await second.ask(token)).status, 200);
  const from = Date.now();
  await first.stop();
  const answer = await until("it refuses", async () => {
    const one = await second.ask(token);
    return one.status !== 200 && one;
  }, { seconds: 60, every: 100 });
  const seconds = (Date.now() - from) / 1000;
  assertProblem(answer, 503, "revocation_unavailable");
  assert.ok(answer.headers["retry-after"] >= 1);
  assert.equal(answer.headers["www-authenticate"], undefined);
  assert.ok(seconds <= 3 * R + 2, `${seconds} s`);
  assert.ok(seconds >= R, `${seconds} s: it went on with what it knew for a while`);
});

test("the audit log knows who revoked what, and every document that was signed", async () => {
  const file = join(here.directory, "audit.jsonl");
  const { code, err } = await cli(["audit", "export", "--out", file, "--dir", signer.state]);
  assert.equal(code, 0, err);
  const actions = readFileSync(file, "utf8");
  for (const action of ["keys.compromise", "revocations.add", "revocations.sign"]) assert.ok(actions.includes(action), action);
});
