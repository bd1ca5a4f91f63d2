// The gateway's configuration from every side: variables, a KV document, the command line, wrangler's bundle, the README's first steps.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { assertProblem, bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { node22, path, root, wrangler } from "../support/paths.mjs";
import { freePorts } from "../support/ports.mjs";
import { start } from "../support/processes.mjs";
import { cli } from "../support/signer.mjs";
import { until } from "../support/wait.mjs";

const run = promisify(execFile);
const here = bench("gateway-config");
const env = { ...process.env, PATH: path, CI: "1", DO_NOT_TRACK: "1", NO_COLOR: "1", WRANGLER_SEND_METRICS: "false", WRANGLER_LOG_PATH: join(here.directory, "logs") };
const issuer = { issuer: "https://i.example", audience: "a", algorithms: ["ES256"], jwks: { keys: [] } };

test("a configuration in a KV namespace: while it is not there nothing passes, then it serves", async () => {
  const worker = await here.worker("kv:CONFIG/gateway.json", { broken: true, more: '[[kv_namespaces]]\nbinding = "CONFIG"\nid = "config"\n' });
  assertProblem(await call(`${worker.url}/`), 500, "configuration_invalid");
  await until("the log says why", () => worker.output().includes("EDGESEAL is kv:CONFIG/gateway.json, which is not there"));
  const document = join(here.directory, "gateway.json");
  const place = join(here.directory, "worker-1");
  const put = async (text) => {
    writeFileSync(document, text);
    await run(node22, [wrangler, "kv", "key", "put", "gateway.json", "--path", document, "--binding", "CONFIG", "--local", "--persist-to", join(place, "wrangler-state"), "--config", join(place, "wrangler.toml")], { cwd: root, env });
  };
  const opens = (match) => JSON.stringify({ echo: true, issuers: [issuer], routes: [{ match, access: "public" }] });
  await put(opens("/public/*"));
  await until("the document serves", async () => (await call(`${worker.url}/public/x`)).status === 200);
  const served = Date.now();
  assertProblem(await call(`${worker.url}/x`), 401, "token_missing");

  // Once a minute has passed cron reads it again, and nobody is judged by the old one then. What cannot be meant is logged.
  const cron = () => call(`${worker.url}/__scheduled?cron=${encodeURIComponent("* * * * *")}`, { seconds: 30 });
  await put("{");
  await new Promise((resolve) => setTimeout(resolve, served + 61_000 - Date.now()));
  assert.equal((await cron()).status, 200);
  await until("the log says so", () => /"event":"configuration_invalid","reason":"EDGESEAL: /.test(worker.output().replaceAll("\\", "")));
  await put(opens("/open/*"));
  assert.equal((await cron()).status, 200);
  assert.equal((await call(`${worker.url}/open/x`)).status, 200);
  assertProblem(await call(`${worker.url}/public/x`), 401, "token_missing");
});

test("the command line says the Worker's own sentence, for wrangler.toml, wrangler.jsonc and the configuration alone", async () => {
  const broken = { echo: true, issuers: [issuer], routes: [{ match: "/users/:id" }] };
  const worker = await here.worker(broken, { broken: true });
  assertProblem(await call(`${worker.url}/`), 500, "configuration_invalid");
  const sentence = 'routes[0].match: is "/users/:id": write * for a segment that may be anything';
  await until("the log names the setting", () => worker.output().replaceAll("\\", "").includes(sentence));

  const file = (name, text) => { const at = join(here.directory, name); writeFileSync(at, text); return at; };
  const check = async (name, text, ...more) => cli(["edge", "check", file(name, text), ...more]);
  const alone = await check("alone.json", JSON.stringify(broken));
  assert.equal(alone.code, 3);
  assert.ok(alone.err.includes(sentence), alone.err);
  const jsonc = await check("wrangler.jsonc", `{ // the gateway\n"name": "x", "vars": { "EDGESEAL": ${JSON.stringify(broken)} } /* all */ }`);
  assert.ok(jsonc.err.includes(sentence), jsonc.err);
  const text = await check("text.toml", `name = "x"\n[vars]\nEDGESEAL = '${JSON.stringify(broken)}'\n`);
  assert.ok(text.err.includes(sentence), text.err);

  const toml = (origin, more = "") => `name = "x"\nmain = "x.js"\n${more}[env.live.vars.EDGESEAL]\norigin = "${origin}"\n[[env.live.vars.EDGESEAL.issuers]]\npreset = "google"\naudience = "a"\n`;
  const good = await check("good.toml", toml("https://o.example"));
  assert.equal(good.code, 0, good.err);
  assert.match(good.out, /\[env\.live\.vars\.EDGESEAL\]\n +origin +https:\/\/o\.example\n +issuer +https:\/\/accounts\.google\.com +RS256/);
  const unbound = await check("unbound.toml", toml("service:API"), "--env", "live");
  assert.ok(unbound.err.includes('origin: needs API, and there is no [[services]] with binding = "API"'), unbound.err);
  const bound = await check("bound.toml", toml("service:API", '[[env.live.services]]\nbinding = "API"\nservice = "api"\n'), "--json");
  assert.equal(JSON.parse(bound.out).ok, true);
  assert.match((await check("bound.toml", toml("https://o.example"), "--env", "other")).err, /holds no vars\.EDGESEAL of the environment other/);
  // What wrangler reads is read as wrangler reads it, what the Worker reads as the Worker does.
  const valid = { echo: true, issuers: [issuer] };
  const commas = await check("commas.jsonc", `{ "name": "x", "vars": { "EDGESEAL": ${JSON.stringify(valid).slice(0, -1)}, /* , */ } , }, // all\n }`);
  assert.equal(commas.code, 0, commas.err);
  assert.match((await check("comma.jsonc", '{ "name": "x", "vars": [,] }')).err, /is no JSON/);
  const plain = JSON.stringify(valid);
  assert.equal((await check("plain.json", plain)).code, 0);
  for (const [name, text] of [["commented.json", plain.replace("{", "{ /* here */ ")], ["commas.json", plain.replace(/}$/, ",}")]]) {
    const { code, err } = await check(name, text);
    assert.equal(code, 3, `${name} ${err}`);
    assert.match(err, /EDGESEAL/);
  }
  // What every token would be answered 503 for.
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const control_keys = [{ ...publicKey.export({ format: "jwk" }), kid: "k", alg: "ES256" }];
  for (const [setting, more, binding] of [["revocation", { revocation: { edge: "eu", control_keys } }, "EDGESEAL_REVOCATIONS"], ["dpop", { dpop: {} }, "EDGESEAL_REPLAYS"]]) {
    const named = (...bindings) => JSON.stringify({ name: "x", vars: { EDGESEAL: { ...valid, ...more } }, durable_objects: { bindings: bindings.map((name) => ({ name, class_name: "X" })) } });
    const missing = await check("objects.jsonc", named("OTHER"));
    assert.ok(missing.err.includes(`${setting}: needs ${binding}, and there is no [[durable_objects.bindings]] with name = "${binding}"`), missing.err);
    assert.equal((await check("objects.jsonc", named("OTHER", binding))).code, 0);
  }
  assert.match((await check("twice.json", '{"echo":true,"echo":true,"issuers":[]}')).err, /a member name occurs twice/);
  assert.equal(JSON.parse((await cli(["edge", "schema"])).out).title, "EDGESEAL, the edge gateway's configuration");
});

test("wrangler bundles it for every environment, with room to spare", async () => {
  for (const more of [[], ["--env", "staging"], ["--env", "production"]]) {
    const { stdout } = await run(node22, [wrangler, "deploy", "--dry-run", "--outdir", join(here.directory, "bundle"), ...more], { cwd: root, env, maxBuffer: 1 << 24 });
    const [, gzipped] = /gzip: ([\d.]+) KiB/.exec(stdout) ?? assert.fail(stdout);
    assert.ok(Number(gzipped) <= 300, `${gzipped} KiB gzipped`);
  }
  // As the guide has it, but for the last step's last step.
  const guide = readFileSync(join(root, "edge-wasm/DEPLOY.md"), "utf8");
  const [, first] = /## First deployment\n[\s\S]*?```sh\n([\s\S]*?)```/.exec(guide);
  assert.match(first, /wrangler deploy\n$/);
  const { stdout } = await run("bash", ["--noprofile", "--norc", "-c", `set -eu\n${first.trimEnd()} --dry-run --outdir ${join(here.directory, "bundle")}`], { cwd: root, env, maxBuffer: 1 << 24 });
  assert.match(stdout, /gzip: [\d.]+ KiB/);
});

test("the README's first steps, copied and pasted, protect an API on this machine", async () => {
  const readme = readFileSync(join(root, "edge-wasm/README.md"), "utf8");
  const steps = /## First steps\n([\s\S]*?)\n## /.exec(readme)[1];
  const fences = [...steps.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text);
  assert.equal(fences.length, 4);
  const front = readFileSync(join(root, "README.md"), "utf8");
  for (const fence of fences) assert.ok(front.includes(fence), `the first page of the repository has other first steps: ${fence}`);
  const [build, api, gateway, requests] = fences;
  assert.match(build, /make/); // what CI has built already
  // The ports that the text names may be somebody else's here.
  const ports = await freePorts(5);
  const names = ["9000", "8787", "8443", "8444", "8445"];
  const here_ = (text) => names.reduce((all, name, index) => all.replaceAll(name, String(ports[index])), text).replaceAll("target/try", join(here.directory, "try"));
  const listeners = `--public 127.0.0.1:${ports[2]} --agents 127.0.0.1:${ports[3]} --admin 127.0.0.1:${ports[4]} --ready-file`;
  const inspector = (await freePorts(1))[0];
  const text = here_(api).replace("--ready-file", listeners) + here_(gateway).replace("wrangler dev --local", `wrangler dev --local --port ${ports[1]} --inspector-port ${inspector} --persist-to ${join(here.directory, "state")}`);
  const shell = start({ name: "the first steps", command: "bash", args: ["--noprofile", "--norc", "-c", `set -eu\n${text}\nwait`], log: join(here.directory, "steps.log"), cwd: root, mark: here.mark, env });
  here.cleanup(() => shell.stop());
  await until("the gateway is ready", async () => (await call(`http://localhost:${ports[1]}/.edgeseal/health`, { seconds: 5 })).status === 200, { seconds: 120, giveUp: () => shell.trouble });
  // On a machine without SoftHSM `make signer` brings it. Where `edgeseal dev` ends all the same, here because its ports are taken, nobody waits for it.
  assert.match((await run("make", ["--dry-run", ...build.trim().split(" ").slice(1)], { cwd: root })).stdout, /prepare\.sh .*\bsofthsm\b/);
  const waits = here_(api).replace("--ready-file", listeners).replaceAll(join(here.directory, "try"), join(here.directory, "never")).split("\n").slice(1).join("\n");
  for (const shell of ["bash", "sh"]) {
    const began = Date.now();
    await run(shell, ["-c", `${waits}exit 0`], { cwd: root, env, timeout: 60_000 });
    assert.ok(Date.now() - began < 30_000, `${shell} waited for an edgeseal dev that had ended`);
  }
  const { stdout } = await run("bash", ["--noprofile", "--norc", "-c", here_(requests)], { cwd: root, env });
  assert.match(stdout, /^hello, alice\n/);
  assert.match(stdout, /HTTP\/1\.1 401[\s\S]*"code":"token_missing"/);
  assert.match(stdout, /hello, nobody\n$/);
});
