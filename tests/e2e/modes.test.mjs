// Application -> agent -> signer -> HSM -> token, in each mode, under a profile that is created while the signer runs; verified
// by `edgeseal verify`, jose and PyJWT. That private claims do not leave the agent's machine is in signer-native's own tests.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { before, test } from "node:test";
import { AUDIENCE, bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { edgeseal, node22, root, target } from "../support/paths.mjs";
import { start } from "../support/processes.mjs";
import { cli } from "../support/signer.mjs";
import { until } from "../support/wait.mjs";

const here = bench("modes");
const clients = { jose: [node22, "tests/e2e/clients/jose.mjs"], PyJWT: [join(target, "python/bin/python"), "tests/e2e/clients/pyjwt.py"] };
const claims = { sub: "alice", email: "alice@private.example" };
let signer;
let socket;
let own; // the issuer of the agent's own keys
let identity; // the agent's certificate and key, in one file

const command = async (args, input) => {
  const { code, out, err } = await cli([...args, "--dir", signer.state], { input });
  assert.equal(code, 0, `edgeseal ${args.join(" ")}: ${err}`);
  return out;
};

before(async () => {
  signer = await here.signer({ args: ["--alg", "ES256"] });
  await command(["profiles", "set", "private", "--settings", "-"], JSON.stringify({ algorithm: "ES256", audiences: [AUDIENCE], modes: ["claims", "sd", "digest"] }));
  const { kid } = JSON.parse(await command(["keys", "generate", "--profile", "private", "--json"]));
  await command(["keys", "activate", kid]);
  const { code: invitation } = JSON.parse(await command(["agents", "invite", "app", "--profile", "private", "--json"]));
  const out = join(here.directory, "app");
  const { code, out: settings, err } = await cli(["agent", "enroll", "--url", signer.ready.issuer, "--out", out], { input: `${invitation}\n` });
  assert.equal(code, 0, err);
  identity = readFileSync(join(out, "agent.pem"), "utf8");
  socket = join(here.directory, "agent.sock");
  const file = join(here.directory, "agent.toml");
  writeFileSync(file, settings.replace("/run/edgeseal/agent.sock", socket).replace("https://SIGNER:8444", signer.ready.agent));
  const agent = start({ name: "edgeseal agent", command: edgeseal, args: ["agent", "--config", file], log: join(here.directory, "agent.log"), mark: here.mark });
  here.cleanup(() => agent.stop());
  own = `${signer.ready.issuer}/agents/app`;
  await until("the agent gives tokens", async () => (await ask("/v1/tokens", { profile: "private", claims, audience: AUDIENCE })).status === 200, { seconds: 60, giveUp: () => agent.trouble });
});

test("in mode claims everybody accepts the token", async () => {
  const token = await tokenIn("claims");
  assert.equal((await native(token, signer.ready.issuer)).claims.email, claims.email);
  for (const name of Object.keys(clients)) assert.deepEqual(await verify(name, token, signer.ready.issuer), { sub: "alice" }, name);
});

test("in mode sd core accepts it whole, and the others the part that the issuer signed", async () => {
  const token = await tokenIn("sd");
  const verdict = await native(token, signer.ready.issuer, ["--sd-jwt", "where-bound"]);
  assert.equal(verdict.claims.email, claims.email);
  const [signed] = token.split("~");
  assert.ok(!Buffer.from(signed.split(".")[1], "base64url").toString().includes("private.example"));
  for (const name of Object.keys(clients)) {
    const { sub, error } = await verify(name, signed, signer.ready.issuer);
    // `sub` may be hidden as well: then PyJWT, which asks for it after it has verified, finds none.
    assert.ok(sub === "alice" || (sub === undefined && (!error || error === "KeyError: 'sub'")), `${name}: ${error}`);
  }
});

test("in mode digest it counts under the agent's own issuer, and nowhere else", async () => {
  const token = await tokenIn("digest");
  assert.equal((await native(token, own)).claims.email, claims.email);
  for (const name of Object.keys(clients)) {
    assert.deepEqual(await verify(name, token, own), { sub: "alice" }, name);
    assert.ok((await verify(name, token, signer.ready.issuer)).error, `${name} refuses it as the profile's`);
  }
});

test("a digest agent that lies gets no token that a verifier of the profile's issuer accepts", async () => {
  const auth = { ca: signer.ca, cert: identity, key: identity };
  const described = (await call(`${signer.ready.agent}/v1/profiles/private`, auth)).json;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  // jose knows nothing of a JWK's exp: only that the key is in another set keeps this token out.
  for (const kid of [described.digest.kid, described.kid]) {
    const now = Math.floor(Date.now() / 1000);
    const input = `${part({ alg: "ES256", kid, typ: "JWT" })}.${part({ iss: signer.ready.issuer, aud: AUDIENCE, sub: "admin", iat: now, exp: now + 600 })}`;
    const digest = createHash("sha256").update(input).digest("base64url");
    const answer = await call(`${signer.ready.agent}/v1/signatures`, { ...auth, body: { profile: "private", digest } });
    assert.equal(answer.status, 200, answer.text);
    const token = `${input}.${answer.json.signature}`;
    for (const name of Object.keys(clients)) assert.ok((await verify(name, token, signer.ready.issuer)).error, `${name} accepted a token of ${kid}`);
    // The signature itself is good: where the agent's issuer is trusted for it, only `iss` stands in the way.
    assert.match((await verify("jose", token, own)).error, kid === described.digest.kid ? /ERR_JWT_CLAIM_VALIDATION_FAILED/ : /ERR_JWKS_NO_MATCHING_KEY/);
  }
});

test("whoever tries codes without end keeps nobody out but who shares the address", async () => {
  const guess = (localAddress) => call(`${signer.ready.issuer}/v1/agents/enroll`, { ca: signer.ca, localAddress, body: { code: "guessed", csr: "" } });
  const answers = [];
  for (let round = 0; round < 4; round += 1) answers.push(...(await Promise.all(Array.from({ length: 40 }, () => guess("127.0.0.1")))));
  const refused = answers.find(({ status }) => status === 429);
  assert.ok(refused, `160 tries: ${[...new Set(answers.map(({ status }) => status))]}`);
  assert.ok(Number(refused.headers["retry-after"]) >= 1);
  assert.notEqual((await guess("127.0.0.2")).status, 429);
});

async function tokenIn(mode) {
  const answer = await ask("/v1/tokens", { profile: "private", mode, claims, audience: AUDIENCE });
  assert.equal(answer.status, 200, JSON.stringify(answer.json));
  return answer.json.token;
}

/** A request over the agent's socket. */
function ask(path, body) {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: socket, path, method: "POST", headers: { "content-type": "application/json", host: "agent" } }, async (response) => {
      resolve({ status: response.statusCode, json: JSON.parse(await text(response)) });
    });
    sent.on("error", () => resolve({ status: 0 })).end(JSON.stringify(body));
    sent.on("timeout", () => reject(new Error("the agent does not answer")));
  });
}

async function native(token, issuer, more = []) {
  const { code, out, err } = await cli(["verify", "-", "--issuer", issuer, "--audience", AUDIENCE, "--alg", "ES256", "--ca", signer.ready.ca, "--json", ...more], { input: token });
  assert.equal(code, 0, out + err);
  return JSON.parse(out);
}

async function verify(name, token, issuer) {
  const [program, ...args] = clients[name];
  const child = spawn(program, args, { cwd: root, env: { ...process.env, NODE_EXTRA_CA_CERTS: signer.ready.ca }, stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify({ jwks_uri: `${issuer}/.well-known/jwks.json`, issuer, audience: AUDIENCE, ca: signer.ready.ca, tokens: { ES256: token } }));
  const { name: _, ...result } = JSON.parse((await text(child.stdout)).trim());
  return result;
}
