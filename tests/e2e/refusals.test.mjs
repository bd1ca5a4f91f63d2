// Bad input, as a user meets it: one sentence that names the setting and the mend, a documented exit code or a problem
// document, no panic, nothing half done.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { AUDIENCE, assertProblem, bench, tokenOf } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { freePorts, listen } from "../support/ports.mjs";
import { askForToken, cli } from "../support/signer.mjs";
import { until } from "../support/wait.mjs";

const here = bench("refusals");
let signer, config;

before(async () => {
  signer = await here.signer();
  config = readFileSync(signer.ready.config, "utf8");
});

let files = 0;
/** `edgeseal serve` with the dev's own configuration, changed in one place, on ports of its own. */
async function serve({ edit = (text) => text, flags = [], env = {}, ports }) {
  const directory = join(here.directory, `serve-${(files += 1)}`);
  mkdirSync(directory);
  const [publicPort, agentsPort] = ports ?? (await freePorts(2));
  const state = (name) => JSON.stringify(join(signer.state, name));
  const text = config.replace(/pin_file = "pin"/, `pin_file = ${state("pin")}`).replace(/path = "edgeseal.db"/, `path = ${JSON.stringify(join(directory, "edgeseal.db"))}`);
  const edited = edit(text);
  const file = join(directory, "edgeseal.toml");
  writeFileSync(file, edited, { mode: 0o600 });
  const result = await cli(["serve", "--config", file, "--public", `127.0.0.1:${publicPort}`, "--agents", `127.0.0.1:${agentsPort}`, "--admin", "127.0.0.1:0", ...flags], { env, seconds: 20 });
  return { ...result, store: join(directory, "edgeseal.db") };
}

function assertOneSentence({ code, out, err }, expected, ...says) {
  const lines = err.trim().split("\n").filter(Boolean);
  assert.equal(lines.length, 1, `one line: ${err}`);
  assert.doesNotMatch(err, /panicked|RUST_BACKTRACE|unwrap/);
  for (const what of says) assert.match(lines[0], what);
  assert.equal(code, expected, `${err}${out}`);
}

const replaced = (from, to) => (text) => {
  const changed = text.replace(from, to);
  assert.notEqual(changed, text, `${from} is in the configuration`);
  return changed;
};

const mistakes = [
  ["a wrong PIN", { env: { EDGESEAL_HSM_PIN: "00000000" } }, 3, [/PIN/, /EDGESEAL_HSM_PIN|pin_file/]],
  ["a PIN file that is not there", { edit: replaced(/pin_file = ".*"/, 'pin_file = "/nonexistent/pin"') }, 3, [/pin_file/]],
  ["a missing module", { flags: ["--module", "/nonexistent/libhsm.so"] }, 3, [/module/, /\/nonexistent\/libhsm\.so/]],
  ["a module that is no PKCS#11 library", { flags: ["--module", "/bin/sh"] }, 3, [/module/]],
  ["a missing slot", { flags: ["--slot", "4242"] }, 3, [/slot/, /4242/]],
  ["a token label that nobody has", { flags: ["--token-label", "elsewhere"] }, 3, [/token/, /elsewhere/]],
  ["TOML that is none", { edit: (text) => `${text}\n[hsm` }, 3, [/line \d+/]],
  ["an unknown setting", { edit: replaced("[store]", "[stores]") }, 3, [/stores/]],
  ["a setting of the wrong type", { edit: replaced(/lease = .*/, "lease = [1]") }, 3, [/lease|line \d+/]],
  ["an algorithm that is none", { edit: replaced('"ES256"', '"HS256"') }, 3, [/HS256|algorithm/]],
  ["an issuer that is no https URL", { edit: replaced(/issuer = "https/, 'issuer = "http') }, 3, [/issuer/]],
  ["a certificate that is not there", { edit: replaced(/certificate = ".*server\.crt"/, 'certificate = "/nonexistent/server.crt"') }, 3, [/certificate/]],
  ["a store in a folder that is not there", { flags: ["--store", "/nonexistent/edgeseal.db"] }, 6, [/store/]],
];
for (const [name, how, exit, says] of mistakes) {
  test(`serve, ${name}: one sentence, exit ${exit}, nothing half done`, async () => {
    const result = await serve(how);
    assertOneSentence(result, exit, ...says);
    assert.ok(!existsSync(result.store), "no registry was made");
  });
}

test("serve, a configuration that is not there: one sentence, exit 3", async () => {
  assertOneSentence(await cli(["serve", "--config", "/nonexistent/edgeseal.toml"]), 3, /--config|EDGESEAL_CONFIG/, /\/nonexistent\/edgeseal\.toml/);
});

test("serve and dev on a busy port: one sentence, exit 5, nothing half done", async () => {
  const holder = await listen(0);
  const { port } = holder.address();
  const [free] = await freePorts(1);
  try {
    assertOneSentence(await serve({ ports: [port, free] }), 5, new RegExp(`${port}`), /listen\.public|--public/);
    assertOneSentence(await serve({ ports: [free, port] }), 5, new RegExp(`${port}`), /listen\.agents|--agents/);
    const dir = join(here.directory, "busy-dev");
    assertOneSentence(await cli(["dev", "--dir", dir, "--public", `127.0.0.1:${port}`, "--agents", `127.0.0.1:${free}`]), 5, new RegExp(`${port}`));
    assert.ok(!existsSync(dir), "dev made no folder");
  } finally {
    holder.close();
  }
});

test("a second dev in the same folder: one sentence, exit 5", async () => {
  assertOneSentence(await cli(["dev", "--dir", signer.state, "--public", "127.0.0.1:0", "--agents", "127.0.0.1:0"]), 5, /--dir|folder|already/);
  assert.equal((await askForToken(signer.ready, { profile: "default", audience: AUDIENCE })).status, 200, "the first one is unharmed");
});

test("a command line that cannot be meant: exit 2", async () => {
  for (const args of [["verify"], ["nonsense"], ["keys", "generate", "--surprise"], ["verify", "-", "--alg", "none", "--issuer", "https://a", "--audience", "b"]]) {
    const { code, err } = await cli(args, { input: "a.b.c" });
    assert.equal(code, 2, `${args.join(" ")}: ${err}`);
    assert.doesNotMatch(err, /panicked/);
  }
});

test("verify with keys that cannot be had: one sentence, exit 7; it is no verdict", async () => {
  const token = await tokenOf(signer);
  const [closed] = await freePorts(1);
  const html = await here.server((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"));
  const missing = await here.server((_, response) => response.writeHead(404).end("no"));
  const elsewhere = await here.server((_, response) => response.writeHead(302, { location: signer.ready.jwks_uri }).end());
  const verify = (jwks, ...more) => cli(["verify", "-", "--jwks", jwks, "--issuer", signer.ready.issuer, "--audience", AUDIENCE, "--alg", "ES256", ...more], { input: token });
  assertOneSentence(await verify(`http://127.0.0.1:${closed}/jwks.json`), 7, new RegExp(`${closed}`));
  assertOneSentence(await verify(signer.ready.jwks_uri), 7, /certificate|--ca|trust/i);
  assertOneSentence(await verify(`${missing.url}/jwks.json`), 7, /404/);
  assertOneSentence(await verify(`${elsewhere.url}/jwks.json`), 7, /redirect|302/);
  const odd = await verify(`${html.url}/jwks.json`);
  assert.notEqual(odd.code, 0);
  assert.doesNotMatch(odd.err, /panicked/);
  const insecure = await verify("http://keys.example.com/jwks.json");
  assert.ok([2, 3, 7].includes(insecure.code), insecure.err);
  assert.match(insecure.err, /http\b.*loopback|https/);
});

test("doctor finds nothing wrong with a running dev, and names the mend for what is wrong", async () => {
  const good = await cli(["doctor", "--dir", signer.state]);
  assert.equal(good.code, 0, good.out + good.err);
  for (const algorithm of ["ES256", "RS256", "PS256"]) assert.ok(good.out.includes(algorithm), good.out);
  const bad = await cli(["doctor", "--dir", signer.state, "--module", "/nonexistent/libhsm.so"]);
  assert.notEqual(bad.code, 0);
  assert.match(bad.out + bad.err, /✗/);
  assert.match(bad.out + bad.err, /mend|hsm\.module|--module/);
});

test("the agents' listener: every refusal is a problem document with its code", async () => {
  const refusals = [
    [{ profile: "nowhere", audience: AUDIENCE }, 403, "policy_denied"],
    [{ profile: "default", audience: AUDIENCE, ttl: "30d" }, 403, "policy_denied"],
    ...["iss", "iat", "exp", "jti", "nbf", "aud"].map((name) => [{ profile: "default", audience: AUDIENCE, claims: { [name]: 1 } }, 403, "policy_denied"]),
    [{ profile: "default", audience: AUDIENCE, unknown: true }, 400, "request_malformed"],
    [{ audience: AUDIENCE }, 400, "request_malformed"],
    ['{"profile":"default","profile":"es384"}', 400, "request_malformed"],
    ['{"profile":"default","claims":{"a":1,"a":2}}', 400, "request_malformed"],
    ["{", 400, "request_malformed"],
    [JSON.stringify({ profile: "default", claims: { big: "x".repeat(64 * 1024) } }), 413, "body_too_large"],
  ];
  for (const [request, status, code] of refusals) {
    const answer = await askForToken(signer.ready, request);
    assertProblem(answer, status, code);
    assert.equal(typeof answer.json.request_id, "string");
    assert.ok(answer.json.detail.length > 10, answer.text);
    assert.ok(!answer.text.includes("eyJ"), "no token");
  }
});

test("the agents' listener answers nobody without a certificate of its authority", async () => {
  await assert.rejects(askForToken(signer.ready, { profile: "default", audience: AUDIENCE }, { identity: false }), /certificate|alert|ECONNRESET|socket hang up/i);
  const ca = signer.ca;
  const other = await here.signer({ args: ["--alg", "ES256"] });
  const stranger = { cert: readFileSync(other.ready.agent_cert, "utf8"), key: readFileSync(other.ready.agent_key, "utf8") };
  await assert.rejects(call(`${signer.ready.agent}/v1/tokens`, { ca, ...stranger, body: { profile: "default", audience: AUDIENCE } }), /certificate|alert|unknown|ECONNRESET|socket hang up/i);
  assert.equal(statSync(signer.ready.agent_key).mode & 0o077, 0, "an agent's key is its owner's alone");
});

test("the public listener has no token endpoint and answers the unknown with 404", async () => {
  for (const [path, method] of [["/v1/tokens", "POST"], ["/nowhere", "GET"], ["/.well-known/../etc/passwd", "GET"]]) {
    const answer = await call(`${signer.ready.issuer}${path}`, { ca: signer.ca, method, body: method === "POST" ? {} : undefined });
    assert.equal(answer.status, 404, path);
  }
});

test("a Worker whose configuration cannot be meant answers 500 to everything, and its log names the field", async () => {
  for (const [settings, field] of [
    [{ echo: true, issuers: [] }, /issuers/],
    [{ echo: true, issuers: [{ issuer: "https://a.example", audience: "b", algorithms: ["HS256"] }] }, /algorithms|HS256/],
    [{ echo: true, issuers: [{ issuer: "https://a.example", audience: "b", algorithms: ["ES256"], leeway: 9999 }] }, /leeway/],
    [{ issuers: [{ issuer: "https://a.example", audience: "b", algorithms: ["ES256"] }] }, /origin/],
    [{ echo: true, surprise: 1, issuers: [{ issuer: "https://a.example", audience: "b", algorithms: ["ES256"] }] }, /surprise/],
  ]) {
    const worker = await here.worker(settings, { broken: true });
    const answer = await worker.ask("a.b.c");
    assert.equal(answer.status, 500, answer.text);
    assert.match(answer.headers["content-type"], /^application\/problem\+json/);
    assert.doesNotMatch(answer.text, field, "the client learns nothing of the configuration");
    await until("the log names the field", () => field.test(worker.output()));
    await worker.stop();
  }
});
