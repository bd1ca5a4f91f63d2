// `make demo`: a token whose key lives in an HSM, judged natively, in workerd and in Chromium, good and broken.
// On a terminal it stays up until Ctrl-C; without one it ends after the round trip; KEEP=1 leaves everything running.

import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { openBrowser, openPlayground } from "../support/browser.mjs";
import { edgeseal, root } from "../support/paths.mjs";
import { busy } from "../support/ports.mjs";
import { issueThrough, jwks, startAgent, startSigner, verifyNatively } from "../support/signer.mjs";
import { algorithmNone, claims, flipSignatureBit, foreignKey } from "../support/tamper.mjs";
import { until } from "../support/wait.mjs";
import { startWorker } from "../support/worker.mjs";
import { directory, endEarlier, envFile, record } from "./ledger.mjs";

const AUDIENCE = "https://api.example.com";
const [publicPort, agentsPort, workerPort] = (process.env.EDGESEAL_DEMO_PORTS ?? "8443,8444,8787").split(",").map(Number);
const keep = Boolean(process.env.KEEP);
const interactive = !keep && Boolean(process.stdin.isTTY && process.stdout.isTTY);
const mark = `demo-${randomUUID()}`;
const started = [];
let browser;
let ending = false;
let doing = "start";

process.on("SIGINT", () => end(interactive ? 0 : 130));
process.on("SIGTERM", () => end(143));

try {
  await demo();
} catch (error) {
  console.error(`  ✗ ${doing}: ${error.message}`);
  console.error(`    logs: ${["signer.log", "agent.log", "worker.log"].map((name) => relative(root, join(directory, name))).join(", ")}`);
  await end(1);
}

async function demo() {
  const whole = Date.now();
  mkdirSync(directory, { recursive: true });
  const { ended } = await endEarlier();
  if (ended) console.log(`  · an earlier demo was still there: ended ${ended} processes`);
  for (const [port, what] of [[publicPort, "signer"], [agentsPort, "agents' listener"], [workerPort, "edge Worker"]]) {
    doing = "Ports";
    if (await busy(port)) throw new Error(`port ${port} (${what}) is taken by another process: end it, or name three free ports in EDGESEAL_DEMO_PORTS=8443,8444,8787`);
  }
  for (const name of ["state", "wrangler-state", "token", "jwks.json", "signer.log", "agent.log", "worker.log"]) rmSync(join(directory, name), { recursive: true, force: true });

  const signer = await step("Signer", async () => {
    const signer = await startSigner({ directory, publicPort, agentsPort, mark, onStart: remember });
    const token = /HSM token\s+(.+?)\s+[\d.]+ s$/m.exec(signer.output());
    if (token) line("✓", "HSM token", token[1]);
    return [signer, `${signer.ready.issuer}   JWK Set, discovery`];
  });
  const { ready } = signer;
  line("✓", "Console", `${ready.console}   set-up code in ${relative(root, ready.setup_code_file)}`);
  const { profiles } = ready;
  const algorithms = profiles.map(({ algorithm }) => algorithm);
  const set = await step("HSM keys", async () => {
    const text = (await jwks(ready)).text;
    writeFileSync(join(directory, "jwks.json"), text);
    const kid = profiles.find(({ algorithm }) => algorithm === "ES256")?.kid;
    return [text, `ES256 ${kid.slice(0, 6)}… and ${algorithms.length - 1} more, generated inside, not extractable`];
  });

  const agent = await step("Agent", async () => {
    const agent = await startAgent({ directory, ready, mark, onStart: remember });
    return [agent, `${relative(root, agent.socket)}   certificate ${ready.agent_name}, over mutual TLS`];
  });
  const settings = { echo: true, issuers: [{ issuer: ready.issuer, audience: AUDIENCE, algorithms, leeway: 0 }] };
  const worker = await step("Edge worker", async () => {
    const worker = await startWorker({ directory, port: workerPort, settings, ca: ready.ca, mark, onStart: remember });
    return [worker, `${worker.url}    workerd, trusts ${ready.issuer}`];
  });
  const playground = await step("Browser", async () => {
    browser = await openBrowser();
    return [await openPlayground(browser, worker.url), `${worker.url}/.edgeseal/playground/   Chromium ${browser.version().split(".")[0]}`];
  });

  const tokens = {};
  await step("Tokens issued", async () => {
    for (const { name, algorithm } of profiles) {
      tokens[algorithm] = await issueThrough(agent, { profile: name, audience: AUDIENCE, ttl: "1h", claims: { sub: "alice", scope: "read" } });
    }
    return [null, `${tokens.ES256.slice(0, 20)}…   signed in the HSM, and ${Object.keys(tokens).length - 1} more, one per algorithm`];
  });
  const token = tokens.ES256;
  writeFileSync(join(directory, "token"), token, { mode: 0o600 });

  const policy = { issuer: ready.issuer, audience: AUDIENCE, algorithms, leeway: 0 };
  /** The three hosts' verdicts on one token: all must be the same. */
  const judge = async (candidate) => {
    const verdicts = await Promise.all([
      verifyNatively({ token: candidate, jwksUri: ready.jwks_uri, ca: ready.ca, ...policy }),
      verdictOfWorker(worker, candidate),
      playground.verdict({ token: candidate, jwks: set, ...policy }),
    ]);
    const [first, ...others] = verdicts;
    if (!others.every((other) => other.code === first.code && isDeepStrictEqual(other.claims, first.claims))) {
      throw new Error(`the hosts disagree: ${verdicts.map(({ code }, i) => `${["native", "workerd", "Chromium"][i]} ${code ?? "accepted"}`).join(", ")}`);
    }
    return first;
  };

  await step("Accepted", async () => {
    for (const [algorithm, candidate] of Object.entries(tokens)) {
      const { code, claims: seen } = await judge(candidate);
      if (code) throw new Error(`a good ${algorithm} token was refused: ${code}`);
      if (!isDeepStrictEqual(seen, claims(candidate))) throw new Error(`the claims of the ${algorithm} token changed on the way`);
    }
    return [null, `native, workerd, Chromium: same verdict, same claims, ${Object.keys(tokens).length} algorithms`];
  });

  const ask = (more) => issueThrough(agent, { profile: profileOf(profiles, "ES256"), audience: AUDIENCE, ttl: "1h", claims: { sub: "alice" }, ...more });
  const broken = [
    ["Bit flipped", "signature_invalid", () => flipSignatureBit(token)],
    ["Other audience", "audience_mismatch", () => ask({ audience: "https://other.example.com" })],
    ["Expired", "token_expired", async () => {
      const short = await ask({ ttl: "1s" });
      await until("the token expires", () => Date.now() / 1000 >= claims(short).exp, { seconds: 10 });
      return short;
    }],
    ["alg none", "algorithm_not_allowed", () => algorithmNone(token)],
    ["Unknown key", "key_not_found", () => foreignKey(token)],
  ];
  for (const [name, expected, make] of broken) {
    await step(name, async () => {
      const { code } = await judge(await make());
      if (code !== expected) throw new Error(`expected ${expected}, got ${code ?? "acceptance"}`);
      return [null, `${`native, workerd, Chromium: ${code}`.padEnd(50)} as it should be`];
    }, "✗");
  }

  const names = { "edgeseal dev": "signer", "edgeseal agent": "agent" };
  const pids = Object.fromEntries(started.map(({ name, pid }) => [names[name] ?? "worker", pid]));
  writeFileSync(envFile, `${JSON.stringify({
    issuer: ready.issuer, jwks_uri: ready.jwks_uri, ca: ready.ca, audience: AUDIENCE, tokens, worker: worker.url, agent: ready.agent,
    agent_cert: ready.agent_cert, agent_key: ready.agent_key, agent_socket: agent.socket, console: ready.console, metrics: ready.metrics, pids,
  }, null, 2)}\n`, { mode: 0o600 });
  await browser.close();
  browser = undefined;

  console.log(`\n  The round trip took ${seconds(whole)}.`);
  if (!keep && !interactive) {
    console.log("  Everything is ended again. To keep it:  make demo KEEP=1   (or run make demo on a terminal)");
    return end(0);
  }
  const shown = relative(process.cwd(), directory) || ".";
  console.log(`\n  Try it:  curl -H "authorization: Bearer $(cat ${shown}/token)" ${worker.url}/hello`);
  console.log(`           curl --unix-socket ${shown}/state/agent.sock http://agent/v1/tokens --json '{"profile":"${profileOf(profiles, "ES256")}","audience":"${AUDIENCE}","claims":{"sub":"bob"}}'`);
  console.log(`           ${relative(process.cwd(), edgeseal)} keys list --dir ${shown}/state`);
  console.log(`           ${worker.url}/.edgeseal/playground/   with ${shown}/token and ${shown}/jwks.json`);
  console.log(`           ${worker.url}/.edgeseal/   the documentation\n`);
  if (keep) {
    console.log(`  Left running; ${shown}/env.json says what is where. End it:  make demo-stop`);
    process.exit(0);
  }
  console.log("  Running until Ctrl-C.");
  doing = "Running";
  await until("Ctrl-C", () => ending, { seconds: Infinity, every: 500, giveUp: () => (ending ? null : started.map(({ trouble }) => trouble).find(Boolean)) });
}

async function step(name, work, sign = "✓") {
  doing = name;
  const began = Date.now();
  const [result, text] = await work();
  line(sign, name, text, seconds(began));
  return result;
}

function line(sign, name, text, time = "") {
  console.log(`  ${sign} ${name.padEnd(15)} ${text.padEnd(72)} ${time.padStart(7)}`.trimEnd());
}

function seconds(since) {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}

function remember(process_) {
  started.push(process_);
  record(mark, started);
}

function profileOf(profiles, algorithm) {
  return profiles.find((profile) => profile.algorithm === algorithm).name;
}

/** What a client of the Worker sees: 200 with the claims, or a problem document with the code. */
async function verdictOfWorker(worker, token) {
  const answer = await worker.ask(token);
  if (answer.status === 200) return { code: null, claims: answer.json.claims };
  if (answer.status !== 401 && answer.status !== 403) throw new Error(`the Worker answered ${answer.status} ${answer.text.slice(0, 200)}`);
  return { code: answer.json.code, claims: null };
}

async function end(code) {
  if (ending) return;
  ending = true;
  if (interactive) console.log("");
  await browser?.close().catch(() => {});
  await Promise.all(started.map((one) => one.stop().catch((error) => console.error(`  ✗ ${error.message}`))));
  await endEarlier();
  process.exit(code);
}
