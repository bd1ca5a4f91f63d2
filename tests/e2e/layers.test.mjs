// Keys that isolates share, through outages of every kind: two processes of the gateway, one KV namespace, an issuer that misbehaves.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { assertProblem, bench } from "../support/harness.mjs";
import { call } from "../support/http.mjs";
import { node22, path, root, wrangler } from "../support/paths.mjs";
import { freePorts } from "../support/ports.mjs";
import { testIssuer } from "../support/tokens.mjs";
import { until } from "../support/wait.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const here = bench("layers");
const run = promisify(execFile);
const SECRET = "a-health-token-of-the-tests";
let issuer, token, count = 0;

before(async () => {
  issuer = await testIssuer();
  token = await issuer.issue();
});

/** How an issuer's server can fail. */
const FAULTS = {
  down: (_, response) => response.destroy(),
  error: (_, response) => response.writeHead(500).end("down"),
  slow: () => {},
  trickling: (_, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), 200);
    response.on("close", () => clearInterval(timer));
  },
  malformed: (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>maintenance</html>"),
  redirecting: (request, response) => {
    if (request.url === "/elsewhere") response.writeHead(200).end(JSON.stringify(issuer.jwks));
    else response.writeHead(302, { location: "/elsewhere" }).end();
  },
  large: (_, response) => response.writeHead(200).end(`{"keys":[],"padding":"${"x".repeat(3_000_000)}"}`),
  bomb: (_, response) => response.writeHead(200, { "content-encoding": "gzip" }).end(BOMB),
};
/** Those that end with the fetch's own time alone. */
const LONG = ["slow", "trickling"];
/** 100 MB of a set that would be valid, as 100 kB. */
const BOMB = gzipSync(Buffer.concat([Buffer.from('{"keys":[],"padding":"'), Buffer.alloc(100_000_000, "x"), Buffer.from('"}')]));

/** An issuer's server whose behaviour can be changed while it runs. */
async function keyServer() {
  const served = { behave: null, maxAge: undefined };
  const server = await here.server((request, response) => {
    if (served.behave) return served.behave(request, response);
    response.writeHead(200, { "content-type": "application/json", ...(served.maxAge && { "cache-control": `max-age=${served.maxAge}` }) }).end(JSON.stringify(issuer.jwks));
  });
  return Object.assign(served, { url: `${server.url}/jwks`, requests: server.requests });
}

async function gateway(served, { cache, persist = join(here.directory, `shared-${(count += 1)}`) } = {}) {
  return here.worker({ echo: true, issuers: [{ ...issuer.settings, jwks_uri: served.url }], cache }, { persist, vars: { EDGESEAL_HEALTH_TOKEN: SECRET } });
}

/** workerd itself, with an empty memory and no layers: it starts in no time. */
async function alone(served, { cache, vars }) {
  const [port] = await freePorts(1);
  const settings = { echo: true, issuers: [{ ...issuer.settings, jwks_uri: served.url }], cache };
  const worker = await startWorkerd({ folder: join(here.directory, `alone-${(count += 1)}`), mark: here.mark, settings, vars, sockets: { open: { port } } });
  here.cleanup(() => worker.stop());
  const health = (headers) => call(`http://127.0.0.1:${port}/.edgeseal/health`, { headers });
  return { health, ask: (text) => call(`http://127.0.0.1:${port}/hello`, { headers: { authorization: `Bearer ${text}` } }) };
}

const health = async (worker) => (await call(`${worker.url}/.edgeseal/health`, { headers: { authorization: `Bearer ${SECRET}` } })).json;
const keysOf = async (worker) => (await health(worker)).issuers[0];
const cron = (worker) => call(`${worker.url}/__scheduled?cron=${encodeURIComponent("*/5 * * * *")}`);

test("health says how the keys are, to who has the token and to nobody else", async () => {
  const served = await keyServer();
  const worker = await gateway(served);
  assert.equal((await worker.ask(token)).status, 200);
  const keys = await keysOf(worker);
  assert.deepEqual([keys.issuer, keys.keys, keys.source, keys.fetches, keys.failures], ["https://issuer.example", 1, "endpoint", 1, 0]);
  assert.ok(keys.age >= 0 && keys.age < 60);
  for (const authorization of [undefined, "Bearer wrong-token-of-the-tests!", `Basic ${SECRET}`, `Bearer ${SECRET}x`]) {
    const answer = await call(`${worker.url}/.edgeseal/health`, { headers: { ...(authorization && { authorization }) } });
    assert.deepEqual([answer.status, answer.json], [200, { status: "ok" }], String(authorization));
  }
  // A secret is what it is: with a space and a comma, too.
  const odd = "a health token, of the tests";
  const other = await alone(served, { vars: { EDGESEAL_HEALTH_TOKEN: odd } });
  for (const scheme of ["Bearer", "bearer"]) assert.equal((await other.health({ authorization: `${scheme} ${odd}` })).json.issuers.length, 1);
  for (const authorization of [`Bearer ${odd.slice(0, -1)}`, `Bearer${odd}`, odd]) assert.deepEqual((await other.health({ authorization })).json, { status: "ok" });
});

test("a second process takes the keys from the shared layers: no fetch, and no younger for it; cron overwrites them", async () => {
  const served = await keyServer();
  const persist = join(here.directory, "warm");
  const first = await gateway(served, { persist });
  // Cron warms before anybody comes.
  assert.equal((await cron(first)).status, 200);
  await until("cron fetches the keys", async () => served.requests.length === 1);
  assert.equal((await first.ask(token)).status, 200);
  assert.equal(served.requests.length, 1, "the first request needed no fetch");
  const fetched = Date.now();
  const second = await until("another process", () => gateway(served, { persist }));
  served.behave = FAULTS.error;
  const answer = await second.ask(token);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(served.requests.length, 1, "two processes, one fetch");
  const keys = await keysOf(second);
  assert.ok(["kv", "cache"].includes(keys.source), keys.source);
  assert.ok(keys.age >= Math.floor((Date.now() - fetched) / 1000) - 1, `as old as it is: ${keys.age} s`);
  assert.deepEqual([keys.fetches, keys.fetches_suppressed], [0, 1]);
  // A key that the shared set does not have is asked of the endpoint, and then both layers have it.
  const rotated = await testIssuer();
  issuer.jwks.keys.push(rotated.jwks.keys[0]);
  served.behave = null;
  try {
    const before = served.requests.length;
    assert.equal((await second.ask(await rotated.issue())).status, 200);
    assert.equal(served.requests.length, before + 1);
  } finally {
    issuer.jwks.keys.pop();
  }
});

test("what KV alone has goes on into the cache, also where discovery names the place of the keys", async () => {
  const server = await here.server((request, response) => {
    response.end(JSON.stringify(request.url === "/jwks" ? own.jwks : { issuer: server.url, jwks_uri: `${server.url}/jwks` }));
  });
  const own = await testIssuer({ issuer: server.url });
  const persist = join(here.directory, "passed-on");
  const source = async () => {
    const worker = await here.worker({ echo: true, issuers: [own.settings] }, { persist, vars: { EDGESEAL_HEALTH_TOKEN: SECRET } });
    assert.equal((await worker.ask(await own.issue())).status, 200);
    const { source } = await keysOf(worker);
    // The layers are written beside the answer.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    await worker.stop();
    return source;
  };
  assert.equal(await source(), "endpoint");
  rmSync(join(persist, "v3", "cache"), { recursive: true });
  assert.deepEqual([await source(), await source()], ["kv", "cache"]);
  assert.equal(server.requests.length, 2, "discovery and one fetch");
});

test("cron in an isolate that has nothing yet: what it takes from a layer, and is four minutes old, it fetches anew", async () => {
  const served = await keyServer();
  const persist = join(here.directory, "cold");
  const put = async (age) => {
    const snapshot = { version: 1, issuer: issuer.settings.issuer, jwks_uri: served.url, fetched_at: Date.now() - age * 1000, jwks: JSON.stringify(issuer.jwks) };
    const file = join(here.directory, "snapshot.json");
    writeFileSync(file, JSON.stringify(snapshot));
    await run(node22, [wrangler, "kv", "key", "put", `jwks/v1/${encodeURIComponent(snapshot.issuer)}`, "--path", file, "--binding", "EDGESEAL_KEYS", "--local", "--persist-to", persist], { cwd: root, env: { ...process.env, PATH: path, CI: "1", WRANGLER_SEND_METRICS: "false" } });
  };
  await put(300);
  const worker = await gateway(served, { persist });
  assert.equal((await cron(worker)).status, 200);
  await until("cron fetches the keys", async () => served.requests.length === 1);
  await until("and has them", async () => (await keysOf(worker)).source === "endpoint");
  assert.equal((await keysOf(worker)).fetches_suppressed, 1, "the layer was asked first");
});

test("cron asks four issuers at once, and those that hang keep it from no other", async () => {
  let open = 0;
  const hanging = await here.server((_, response) => {
    open += 1;
    response.on("close", () => (open -= 1));
  });
  const served = await keyServer();
  const dead = Array.from({ length: 9 }, (_, index) => ({ ...issuer.settings, issuer: `https://hanging-${index}.example`, jwks_uri: `${hanging.url}/jwks` }));
  const issuers = [...dead, { ...issuer.settings, jwks_uri: served.url }];
  const worker = await here.worker({ echo: true, issuers }, { persist: join(here.directory, "hanging"), vars: { EDGESEAL_HEALTH_TOKEN: SECRET } });
  const run = cron(worker);
  await until("cron has begun", () => open > 0);
  // Each has 3 s.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  assert.equal(open, 4);
  await until("the last one's keys are there", async () => (await health(worker)).issuers.at(-1).keys === 1, { seconds: 30 });
  const { issuers: told } = await health(worker);
  assert.deepEqual([told.at(-1).failures, served.requests.length], [0, 1]);
  await run;
});

for (const [name, behave] of Object.entries(FAULTS)) {
  test(`cold, and the endpoint is ${name}: 503 with Retry-After, never 401, few fetches; then recovery`, async () => {
    const served = await keyServer();
    const worker = await alone(served, { cache: { backoff_max: 2 } });
    served.behave = behave;
    const began = Date.now();
    const answers = await Promise.all(Array.from({ length: 20 }, () => worker.ask(token)));
    assert.ok(Date.now() - began < 12_000, `${Date.now() - began} ms`);
    for (const answer of answers) {
      assertProblem(answer, 503, "jwks_unavailable");
      assert.match(answer.headers["retry-after"], /^\d+$/);
      assert.equal(answer.headers["www-authenticate"], undefined);
    }
    const more = await Promise.all(Array.from({ length: 20 }, () => worker.ask(token)));
    assert.deepEqual([...new Set(more.map(({ status }) => status))], [503]);
    assert.ok(served.requests.length <= 4, `${served.requests.length} fetches for 40 requests`);
    assert.ok(served.requests.every(({ url }) => url === "/jwks"), "no redirect is followed");
    served.behave = null;
    await until("it recovers", async () => (await worker.ask(token)).status === 200, { seconds: 15, every: 200 });
  });
}

test("an outage of every kind is bridged by what both processes share, and named when that is past use", async () => {
  const served = await keyServer();
  const persist = join(here.directory, "bridged");
  const cache = { fresh_default: 2, fresh_min: 1, fresh_max: 2, stale_if_error: 20, backoff_min: 1, backoff_max: 2 };
  const first = await gateway(served, { persist, cache });
  assert.equal((await first.ask(token)).status, 200);
  const fetched = Date.now();
  served.behave = FAULTS.error;
  // This one never saw the endpoint work.
  const second = await gateway(served, { persist, cache });
  // Each fetch meets the next fault; those that hold it for long come last.
  const kinds = Object.keys(FAULTS).sort((one, other) => LONG.includes(one) - LONG.includes(other));
  const met = [];
  const seen = new Set();
  const before = served.requests.length;
  served.behave = (request, response) => {
    met.push(kinds[met.length % kinds.length]);
    FAULTS[met.at(-1)](request, response);
  };
  while (Date.now() - fetched < 20_000) {
    for (const worker of [first, second]) {
      const answer = await worker.ask(token);
      seen.add(answer.status);
    }
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  assert.deepEqual([...seen], [200], "stale keys serve on, in both processes");
  assert.deepEqual(kinds.filter((kind) => !met.includes(kind)), [], `faults that no fetch met, of ${met.length}`);
  const fetches = served.requests.length - before;
  assert.ok(fetches <= 2 * 22, `${fetches} fetches of two processes in 20 s`);
  const stale = await keysOf(second);
  assert.ok(stale.stale_served > 0 && stale.failures > 0 && stale.last_failure.includes("/jwks"), JSON.stringify(stale));
  const last = await until("the stale window ends", async () => {
    const answer = await second.ask(token);
    return answer.status !== 200 && answer;
  }, { seconds: 15, every: 200 });
  assertProblem(last, 503, "jwks_unavailable");
  served.behave = null;
  for (const worker of [first, second]) await until("it recovers", async () => (await worker.ask(token)).status === 200, { seconds: 15, every: 200 });
});
