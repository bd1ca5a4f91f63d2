// `make demo` as a newcomer types it: the round trip, left running and ended, after a crash, and with somebody on its port.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { call } from "../support/http.mjs";
import { node22, root, target } from "../support/paths.mjs";
import { busy, listen } from "../support/ports.mjs";
import { identity } from "../support/processes.mjs";
import { claims } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";

const ports = [8443, 8444, 8787];
const directory = join(target, "demo");
const envFile = join(directory, "env.json");

const make = (...args) => run("make", args);
function run(command, args, { env = process.env } = {}) {
  const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], env });
  let output = "";
  for (const pipe of [child.stdout, child.stderr]) pipe.setEncoding("utf8").on("data", (chunk) => { output += chunk; });
  const done = new Promise((resolve) => child.on("close", (code) => resolve({ code, output })));
  return Object.assign(done, { child, output: () => output });
}

const allFree = async () => !(await Promise.all(ports.map((port) => busy(port)))).includes(true);

after(() => make("demo-stop"));

test("make demo </dev/null: accepted on three hosts, refused on three hosts with one code, exit 0, nothing left", async () => {
  await make("demo-stop");
  const began = Date.now();
  const { code, output } = await make("demo");
  assert.equal(code, 0, output);
  assert.ok((Date.now() - began) / 1000 < 60, "a warm demo takes under a minute");
  assert.match(output, /✓ Accepted\s+native, workerd, Chromium: same verdict, same claims/);
  for (const [name, expected] of [["Bit flipped", "signature_invalid"], ["Other audience", "audience_mismatch"], ["Expired", "token_expired"], ["alg none", "algorithm_not_allowed"], ["Unknown key", "key_not_found"]]) {
    assert.match(output, new RegExp(`✗ ${name}\\s+native, workerd, Chromium: ${expected}\\b.*as it should be`));
  }
  assert.match(output, /✓ Agent\s+target\/demo\/state\/agent\.sock/);
  for (const url of ["https://localhost:8443", "http://localhost:8787", "http://localhost:8787/.edgeseal/playground/"]) assert.ok(output.includes(url), url);
  assert.ok(await allFree(), "its ports are free again");
  assert.ok(!existsSync(join(directory, "running.json")));
  assert.doesNotMatch(output, /\beyJ[\w-]{30,}\.[\w-]+\.[\w-]+/, "no whole token on the screen");
});

test("make demo KEEP=1 leaves everything running and env.json true; make demo-stop ends exactly that", async () => {
  const bystander = spawn("sleep", ["600"], { stdio: "ignore" });
  try {
    const { code, output } = await make("demo", "KEEP=1");
    assert.equal(code, 0, output);
    assert.equal(statSync(envFile).mode & 0o777, 0o600);
    const env = JSON.parse(readFileSync(envFile, "utf8"));
    assert.equal(env.issuer, "https://localhost:8443");
    assert.equal(env.jwks_uri, "https://localhost:8443/.well-known/jwks.json");
    assert.equal(env.worker, "http://localhost:8787");
    assert.equal(env.agent, "https://localhost:8444");
    assert.equal(env.console, "https://localhost:8445");
    assert.match((await call(env.metrics)).text, /edgeseal_tokens_total\{/);
    const ca = readFileSync(env.ca, "utf8");
    assert.match((await call(`${env.console}/`, { ca })).text, /<title>/);
    assert.match((await call(`${env.worker}/.edgeseal/`)).text, /Sign inside the HSM/);
    const { keys } = (await call(env.jwks_uri, { ca })).json;
    assert.deepEqual(Object.keys(env.tokens).sort(), keys.map(({ alg }) => alg).sort(), "a token of every published algorithm");
    for (const [algorithm, token] of Object.entries(env.tokens)) {
      assert.ok(claims(token).exp > Date.now() / 1000 + 50 * 60, `the ${algorithm} token is good for a while`);
      assert.equal(claims(token).aud, env.audience);
      assert.equal((await call(`${env.worker}/hello`, { headers: { authorization: `Bearer ${token}` } })).status, 200, algorithm);
    }
    const issued = await call(`${env.agent}/v1/tokens`, { ca, cert: readFileSync(env.agent_cert, "utf8"), key: readFileSync(env.agent_key, "utf8"), body: { profile: "default", audience: env.audience, claims: {} } });
    assert.ok(issued.json.token, issued.text);
    const through = await call("http://agent/v1/tokens", { socketPath: env.agent_socket, body: { profile: "default", audience: env.audience, claims: {} } });
    assert.ok(through.json.token, through.text);
    assert.deepEqual(Object.keys(env.pids).sort(), ["agent", "signer", "worker"]);
    for (const pid of Object.values(env.pids)) assert.ok(identity(pid), `process ${pid} runs`);

    const stopped = await make("demo-stop");
    assert.equal(stopped.code, 0, stopped.output);
    assert.ok(await allFree());
    assert.ok(!existsSync(envFile));
    for (const pid of Object.values(env.pids)) assert.equal(identity(pid), null);
    assert.ok(identity(bystander.pid), "an unrelated process lives on");
  } finally {
    bystander.kill();
  }
});

test("make demo-stop never ends a process that got the number of one of the demo's", async () => {
  const other = spawn("sleep", ["600"], { stdio: "ignore" });
  try {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "running.json"), JSON.stringify({ mark: "demo-of-long-ago", processes: [{ name: "edgeseal dev", pid: other.pid, identity: "another boot/1" }] }));
    assert.equal((await make("demo-stop")).code, 0);
    assert.ok(identity(other.pid), "it lives on");
  } finally {
    other.kill();
  }
});

test("after a crash (kill -9 of the demo, and of what it started) a second make demo works", async () => {
  const first = run(node22, ["tests/demo/demo.mjs"]);
  await until("the first demo has its processes", () => /✓ Edge worker/.test(first.output()), { seconds: 60 });
  const ledger = JSON.parse(readFileSync(join(directory, "running.json"), "utf8"));
  first.child.kill("SIGKILL");
  assert.ok(await busy(8443), "the signer was left behind");
  process.kill(ledger.processes.find(({ name }) => name === "edgeseal dev").pid, "SIGKILL");
  const second = await make("demo");
  assert.equal(second.code, 0, second.output);
  assert.match(second.output, /an earlier demo was still there/);
  assert.ok(await allFree());
});

test("a port that somebody else holds: one sentence, non-zero, and the holder lives on", async () => {
  for (const port of [8443, 8787]) {
    const holder = await listen(port);
    try {
      const { code, output } = await make("demo");
      assert.notEqual(code, 0);
      const said = output.split("\n").filter((line) => line.includes(`port ${port}`));
      assert.equal(said.length, 1, output);
      assert.match(said[0], /taken by another process/);
      assert.ok(await busy(port));
    } finally {
      await new Promise((done) => holder.close(done));
    }
  }
  assert.ok(await allFree());
});

test("a demo that fails ends what it started, says where the logs are, and exits non-zero", async () => {
  const { code, output } = await run(node22, ["tests/demo/demo.mjs"], { env: { ...process.env, EDGESEAL_CHROMIUM: "/nonexistent/chromium" } });
  assert.equal(code, 1, output);
  assert.match(output, /✗ Browser: /);
  assert.match(output, /logs: target\/demo\/signer\.log/);
  assert.ok(await allFree());
});

test("on a terminal it stays up until Ctrl-C, then ends what it started", async () => {
  const terminal = spawn("script", ["-qec", "make demo", "/dev/null"], { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  terminal.stdout.setEncoding("utf8").on("data", (chunk) => { output += chunk; });
  const ended = new Promise((resolve) => terminal.on("close", resolve));
  await until("it is up", () => output.includes("Running until Ctrl-C"), { seconds: 90, giveUp: () => (terminal.exitCode === null ? null : `it ended:\n${output}`) });
  const token = readFileSync(join(directory, "token"), "utf8");
  assert.equal(statSync(join(directory, "token")).mode & 0o777, 0o600);
  const said = await call("http://localhost:8787/hello", { headers: { authorization: `Bearer ${token}` } });
  assert.equal(said.status, 200);
  const [suggested] = /curl -H .+\/hello/.exec(output);
  assert.ok(readFileSync(join(root, "www/site/docs/start/newcomer.md"), "utf8").includes(`\n${suggested}\n`), `the page of the first ten minutes has another command: ${suggested}`);
  const curl = await run("sh", ["-c", suggested.replace("curl", "curl --silent --show-error --fail")]);
  assert.deepEqual([curl.code, curl.output], [0, said.text], "the command that it suggests works");
  terminal.stdin.write("\x03");
  await ended;
  assert.ok(await allFree());
  assert.ok(!existsSync(join(directory, "running.json")));
});
