// The gateway as a whole, in workerd, beside the same Worker written with jose and with hono's jwk middleware: what each adds to a request
// beyond a Worker that verifies nothing, and how long a new process takes to its first answer.
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

import { root } from "../support/paths.mjs";
import { workerd } from "../support/workerd.mjs";
import { bundle, stage } from "./stage.mjs";
import { median, summary } from "./measure.mjs";

export const CONTESTANTS = ["edgeseal", "jose", "hono"];
const ALL = ["empty", ...CONTESTANTS];
const CASES = ["distinct", "repeated"];
/** Requests that are on their way at once on a batch's connection: enough that the client never waits for its own scheduler. */
const PIPELINED = 32;
const WARM_UP = 2_048;
const HEALTH = "the-health-token-of-the-bench";

/**
 * @param {Record<string, object>} fixtures by algorithm
 * @param {{algorithms: string[], rounds: number, requests: number, startups: number}} plan
 */
export async function gateway(fixtures, { algorithms, rounds, requests, startups }) {
  const rows = [];
  for (const alg of algorithms) {
    const fixture = fixtures[alg];
    const served = {};
    try {
      for (const name of ALL) served[name] = await serve(name, alg, fixture);
      for (const kase of CASES) {
        rows.push({ alg, kase, us: await measured(served, kase, fixture.good, { rounds, requests }) });
        const hits = await served.edgeseal.hits();
        if (kase === "distinct" && hits > 0) throw new Error(`gateway ${alg} distinct: ${hits} tokens came from the cache`);
      }
    } finally {
      for (const one of Object.values(served)) await one.stop();
    }
  }
  return { rows, first: startups ? await firstAnswers(algorithms[0], fixtures[algorithms[0]], startups) : undefined };
}

/** Microseconds that each adds to a request: those beyond the empty Worker's, round by round. */
export const added = (us) => Object.fromEntries(CONTESTANTS.map((name) => [name, us[name].map((value, round) => value - us.empty[round])]));

async function measured(served, kase, tokens, { rounds, requests }) {
  const us = Object.fromEntries(ALL.map((name) => [name, []]));
  const next = Object.fromEntries(ALL.map((name) => [name, 0]));
  // A token that comes again in its turn may still be in the gateway's cache: of distinct ones there are more than it holds.
  const run = async (name, count) => {
    const took = await served[name].run(Array.from({ length: count }, (_, index) => tokens[kase === "distinct" ? (next[name] + index) % tokens.length : 0]));
    next[name] = (next[name] + count) % tokens.length;
    return took;
  };
  for (const name of ALL) await run(name, WARM_UP);
  for (let round = 0; round < rounds; round += 1) {
    const order = ALL.map((_, index) => ALL[(index + round) % ALL.length]);
    for (const name of round % 2 ? order.reverse() : order) us[name].push((await run(name, requests)) / requests * 1_000);
  }
  return us;
}

/** Milliseconds from the start of a process to the answer with verified claims. */
async function firstAnswers(alg, fixture, count) {
  const ms = Object.fromEntries(ALL.map((name) => [name, []]));
  for (let round = -1; round < count; round += 1) {
    for (const name of ALL) {
      const began = performance.now();
      const served = await serve(name, alg, fixture);
      try {
        await served.run([fixture.good[0]]);
        if (round >= 0) ms[name].push(performance.now() - began);
      } finally {
        await served.stop();
      }
    }
  }
  return ms;
}

async function serve(name, alg, fixture) {
  const folder = await prepared(name, alg, fixture);
  const child = spawn(workerd, ["serve", "--experimental", "config.capnp", "--control-fd=3"], { cwd: folder, stdio: ["ignore", "ignore", "inherit", "pipe"] });
  const port = await new Promise((resolve, reject) => {
    let text = "";
    child.on("exit", (status) => reject(new Error(`workerd: ${name} ended with ${status} before it listened`)));
    child.stdio[3].on("data", (data) => {
      text += data;
      const heard = text.split("\n").filter((line) => line.endsWith("}")).map((line) => JSON.parse(line)).find(({ event }) => event === "listen");
      if (heard) resolve(heard.port);
    });
  });
  return {
    /** Sends a request for each token and waits for all answers; milliseconds. Every answer must be a 200. */
    run: (tokens) => pipelined(port, tokens, name),
    /** Tokens that the gateway had verified before. */
    hits: async () => (await (await fetch(`http://127.0.0.1:${port}/.edgeseal/health`, { headers: { authorization: `Bearer ${HEALTH}` } })).json()).token_cache.hits,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

const folders = new Map();

async function prepared(name, alg, { issuer, audience, jwks }) {
  const key = `${name}-${alg}`;
  if (folders.has(key)) return folders.get(key);
  const folder = join(await stage(), `gateway-${key}`);
  folders.set(key, folder);
  mkdirSync(folder, { recursive: true });
  const modules = [];
  if (name === "edgeseal") {
    for (const file of ["index.js", "index_bg.wasm"]) cpSync(join(root, "edge-wasm/build", file), join(folder, file));
    modules.push('(name = "index.js", esModule = embed "index.js")', '(name = "./index_bg.wasm", wasm = embed "index_bg.wasm")');
  } else {
    bundle(await stage(), `bench/gateway-${name}.mjs`, folder, { conditions: ["workerd", "browser"], external: ["cloudflare:*"] });
    modules.push(`(name = "index.js", esModule = embed "gateway-${name}.mjs")`);
  }
  // A token that was verified before may be remembered, a distinct one must not have been: see `measured`.
  const settings = { echo: true, issuers: [{ issuer, audience, algorithms: [alg], jwks }] };
  const bindings = name === "edgeseal" ? { EDGESEAL: settings, EDGESEAL_HEALTH_TOKEN: HEALTH } : { ISSUER: issuer, AUDIENCE: audience, ALGORITHM: alg, JWKS: jwks };
  const texts = Object.entries(bindings).map(([binding, value]) => `(name = "${binding}", text = ${JSON.stringify(typeof value === "string" ? value : JSON.stringify(value))})`);
  const objects = name === "edgeseal" ? 'durableObjectNamespaces = [(className = "EdgesealReplays", uniqueKey = "r", enableSql = true)], durableObjectStorage = (inMemory = void),' : "";
  writeFileSync(join(folder, "config.capnp"), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "gateway", worker = .gateway)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "gateway")],
);
const gateway :Workerd.Worker = (
  modules = [${modules.join(", ")}],
  compatibilityDate = "2026-09-01",
  bindings = [${texts.join(", ")}],
  ${objects}
);
`);
  return folder;
}

/** A connection of its own for each batch: workerd ends one that idles while the others have their turns. */
async function pipelined(port, tokens, name) {
  const requests = tokens.map((token) => `GET /hello HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer ${token}\r\n\r\n`);
  const socket = connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  await once(socket, "connect");
  try {
    return await new Promise((resolve, reject) => {
      let [sent, answered, buffer] = [0, 0, Buffer.alloc(0)];
      const send = () => {
        const more = requests.slice(sent, Math.min(requests.length, answered + PIPELINED));
        sent += more.length;
        if (more.length > 0) socket.write(more.join(""));
      };
      socket.on("data", (data) => {
        buffer = buffer.length ? Buffer.concat([buffer, data]) : data;
        for (;;) {
          const end = buffer.indexOf("\r\n\r\n");
          if (end < 0) break;
          const head = buffer.toString("latin1", 0, end);
          const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? NaN);
          if (!head.startsWith("HTTP/1.1 200 ") || Number.isNaN(length)) return reject(new Error(`${name} answered ${head.split("\r\n")[0]}`));
          if (buffer.length < end + 4 + length) break;
          buffer = buffer.subarray(end + 4 + length);
          answered += 1;
        }
        if (answered === requests.length) return resolve(performance.now() - began);
        // Half of a window at a time, so that neither side waits for the other.
        if (sent - answered <= PIPELINED / 2) send();
      });
      socket.once("error", reject);
      socket.once("close", () => reject(new Error(`${name} ended the connection after ${answered} of ${requests.length} answers`)));
      const began = performance.now();
      send();
    });
  } finally {
    socket.destroy();
  }
}

/** @returns {{what: string, bound: string, found: string, met: boolean}[]} */
export function judgeGateway({ rows, first }) {
  const verdicts = [];
  const say = (what, { median, min, max }, bound, digits = 2) => {
    const met = median <= bound;
    verdicts.push({ what, bound: `at most ${bound}`, found: `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})${!met && min <= bound ? ", within the spread" : ""}`, met });
  };
  const ratio = (ours, theirs) => summary(ours.map((value, round) => value / theirs[round]));
  for (const { alg, kase, us } of rows) {
    const { edgeseal, jose } = added(us);
    const bound = kase === "repeated" ? 0.4 : { ES256: 0.8, RS256: 1 }[alg];
    if (bound) say(`gateway in workerd, ${alg} ${kase}: added time per request, times jose's`, ratio(edgeseal, jose), bound);
  }
  if (first) {
    const beyond = added(first);
    say("gateway in workerd: first answer of a new process, ms beyond an empty Worker", summary(beyond.edgeseal), 30, 1);
    say("gateway in workerd: the same, times jose's (of the medians)", summary([median(beyond.edgeseal) / median(beyond.jose)]), 1.5);
  }
  return verdicts;
}
