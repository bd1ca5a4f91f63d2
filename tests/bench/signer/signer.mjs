// The signer as it is shipped (release build, default settings: durable audit, software check of every signature, mutual TLS) on
// SoftHSM, beside the bare module and its peers, in one run. See ../README.md.
//
// node tests/bench/signer/signer.mjs [--quick] [--rounds N] [--memory MINUTES] [--part load,processes,scale] runs it alone and prints the rows; `make bench` has them in its report.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { get } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { node22, root, target } from "../../support/paths.mjs";
import { freePorts } from "../../support/ports.mjs";
import { speedup, summary } from "../measure.mjs";
import { scale } from "./scale.mjs";

const AUDIENCE = "https://api.example.com";
/** Kept-alive connections of the load. */
const CONNECTIONS = 32;
const BATCH = 64;
/** Batches under way at once: what hsm.queue holds by default (256), with room for the canary. */
const BATCHES = 3;
/** Sessions of the signer (the default of hsm.threads), and of the bare module. */
const SESSIONS = Number(process.env.EDGESEAL_HSM_THREADS ?? 2);
const PARTS = ["load", "processes", "scale"];
const peers = join(target, "bench/peers");
const folder = join(target, "bench/signer");
const edgeseal = process.env.EDGESEAL_BENCH_BIN ?? join(target, "release/edgeseal");
const generator = process.env.EDGESEAL_BENCH_LOAD ?? join(target, "bench/native/release/edgeseal-bench-load");

/**
 * @returns {Promise<{rows: object[], verdicts: {what: string, bound: string, found: string, met: boolean}[]}>}
 */
export async function benchSigner({ quick = false, rounds = quick ? 1 : 7, seconds = quick ? 0.5 : 1.5, memoryMinutes = 0, parts = PARTS, say = console.log } = {}) {
  const children = [];
  const rows = [];
  const verdicts = [];
  const judge = (what, values, bound, atLeast) => {
    const { median, min, max } = values;
    verdicts.push({ what, bound: `${atLeast ? "at least" : "at most"} ${bound}`, found: `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`, met: atLeast ? median >= bound : median <= bound });
  };
  try {
    const token = await prepare(children);
    const load = new Load(children);
    const us = { path: "/v1/tokens", expect: 1, connections: CONNECTIONS, seconds };
    const note = (found) => {
      rows.push(found);
      const { alg, case: kase, per_s, us: costs, ms, mb } = found;
      say(`signer   ${(alg ?? "").padEnd(5)} ${kase.padEnd(28)} ${JSON.stringify(per_s ?? costs ?? ms ?? mb)}`);
    };
    if (memoryMinutes) note(await memory(load, token, us, memoryMinutes, judge, say));
    else {
      if (parts.includes("load")) await underLoad({ token, load, us, rounds, seconds, quick, children, note, judge });
      if (parts.includes("processes")) await processes(token, rounds, note, judge);
      for (const found of parts.includes("scale") ? await scale({ token, load, us, body, quick }) : []) {
        if (found.row) note(found.row);
        if (found.failed) verdicts.push({ what: found.what, bound: "at most 1.15", found: found.failed, met: false });
        else judge(found.what, found.values, 1.15, false);
      }
    }
    return { rows, verdicts };
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}

/** Rates beside the bare module and the peers, the cost of one token, latencies, memory. */
async function underLoad({ token, load, us, rounds, seconds, quick, children, note, judge }) {
  const signer = await token.serve("bench", (text) => text);
  const single = (profile) => ({ ...us, ...signer.agent, bodies: [body(profile)] });
  const batch = (profile) => ({ ...us, ...signer.agent, path: "/v1/tokens/batch", expect: BATCH, bodies: [JSON.stringify({ requests: Array(BATCH).fill(JSON.parse(body(profile))) })], connections: BATCHES });
  const raw = (algorithm, threads = SESSIONS) => token.raw(algorithm, threads, seconds);
  const node = await token.peer("node", load, seconds, children);
  const python = await token.peer("python", load, seconds, children);
  const perSecond = async (command, each = 1) => (await load.run(command)).per_s * each;
  const contestants = {
    raw_ES256: () => raw("ES256"),
    single_ES256: () => perSecond(single("default")),
    batch_ES256: () => perSecond(batch("default"), BATCH),
    raw_RS256: () => raw("RS256"),
    single_RS256: () => perSecond(single("rs256")),
    batch_RS256: () => perSecond(batch("rs256"), BATCH),
    node_pkcs11js: () => perSecond({ ...us, ...node.agent, bodies: [body("default")] }),
    python_pkcs11: () => perSecond({ ...us, ...python.agent, bodies: [body("default")] }),
  };
  // Everybody once without being counted.
  for (const run of Object.values(contestants)) await run();
  const before = signer.rss();
  const began = Date.now();
  const seen = await inRounds(rounds, contestants);
  for (const [alg, kase, bound] of [["ES256", "single", 0.4], ["ES256", "batch", 0.6], ["RS256", "single", 0.8], ["RS256", "batch", 0.9]]) {
    const of = { edgeseal: seen[`${kase}_${alg}`], raw_c_sign: seen[`raw_${alg}`] };
    if (alg === "ES256" && kase === "single") Object.assign(of, { node_pkcs11js: seen.node_pkcs11js, python_pkcs11: seen.python_pkcs11 });
    const ratio = times(of.edgeseal, of.raw_c_sign);
    note(row(alg, kase, of, { connections: kase === "single" ? CONNECTIONS : BATCHES, sessions: SESSIONS, of_raw_c_sign: rounded(ratio), ...(of.node_pkcs11js && { peers_processes: { node_pkcs11js: node.processes, python_pkcs11: python.processes } }) }));
    judge(`signer ${alg} ${kase}: share of raw C_Sign`, ratio, bound, true);
  }
  judge("signer ES256 single: speed of node pkcs11js, times", times(seen.single_ES256, seen.node_pkcs11js), 1.3, true);
  judge("signer ES256 single: speed of python-pkcs11, times", times(seen.single_ES256, seen.python_pkcs11), 3, true);

  note(await cost(load, single("default"), signer, raw, quick));
  note(await latency(load, us, { edgeseal: [signer.agent, seen.single_ES256], node_pkcs11js: [node.agent, seen.node_pkcs11js], python_pkcs11: [python.agent, seen.python_pkcs11] }, quick, judge));
  note(await disk(quick));
  const after = signer.rss();
  note({ bench: "sign", host: "native", alg: "ES256", case: "memory", mb: { edgeseal: [before, after] }, minutes: Number(((Date.now() - began) / 60_000).toFixed(1)) });
  judge("signer: memory, times that of the beginning", one(after / before), 1.1, false);
  for (const peer of [node, python]) await peer.end();
  await signer.end();
}

/** A token in SoftHSM with a key of each algorithm, and a configuration with default settings. */
async function prepare(children) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const readyFile = join(folder, "ready.json");
  const dir = join(folder, "dev");
  const dev = spawn(edgeseal, ["dev", "--dir", dir, "--ready-file", readyFile, "--public", "127.0.0.1:0", "--agents", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--alg", "ES256", "--alg", "RS256"], { stdio: "ignore" });
  children.push(dev);
  const ready = await until(() => JSON.parse(readFileSync(readyFile, "utf8")), dev);
  const keys = JSON.parse(await output(edgeseal, ["keys", "list", "--json", "--dir", dir]));
  dev.kill("SIGTERM");
  await once(dev, "exit");
  const environment = { ...process.env, SOFTHSM2_CONF: ready.softhsm_conf };
  const idOf = (algorithm) => keys.find((key) => key.purpose === "token" && key.alg === algorithm && key.state === "active").cka_id;
  const rawOf = async (id, algorithm, threads, seconds) => Number(await output(join(peers, "token"), [ready.pkcs11_module, "edgeseal", ready.pin_file, "sign", algorithm, id, String(threads), String(seconds)], environment));

  /** Starts `edgeseal serve` with what a dev wrote, less what it sets beside the defaults. */
  async function serve(name, change) {
    const [publicPort, agentsPort, metricsPort] = await freePorts(3);
    const sections = readFileSync(join(dir, "edgeseal.toml"), "utf8").split(/\n(?=\[)/);
    const kept = sections.filter((section) => !/^\[(log|rotation|listen\.admin)\]/.test(section)).map((section) => {
      if (section.startsWith("[listen.public]")) return section.replace(/address = .*/, `address = "127.0.0.1:${publicPort}"`);
      if (section.startsWith("[listen.agents]")) return section.replace(/address = .*/, `address = "127.0.0.1:${agentsPort}"`);
      return section;
    });
    const file = join(dir, `${name}.toml`);
    writeFileSync(file, `${change(kept.join("\n"))}\n[listen.metrics]\naddress = "127.0.0.1:${metricsPort}"\n`);
    const log = join(folder, `${name}.log`);
    const child = spawn("sh", ["-c", 'exec "$0" serve --config "$1" 2>"$2"', edgeseal, file, log], { stdio: "ignore" });
    children.push(child);
    await until(() => answers(publicPort, ready.ca), child, () => readFileSync(log, "utf8").slice(-2_000));
    return {
      agent: { url: `127.0.0.1:${agentsPort}`, ca: ready.ca, cert: ready.agent_cert, key: ready.agent_key },
      metrics: () => text(metricsPort),
      rss: () => resident(child.pid),
      pid: child.pid,
      end: () => ended(child),
    };
  }

  /** Starts a peer, with one process or with two: whichever is faster for it. */
  async function peer(name, load, seconds, children) {
    const published = keys.find((key) => key.cka_id === idOf("ES256"));
    const jwk = await jwkOf(published.kid);
    let best;
    for (const processes of [1, 2]) {
      const [port] = await freePorts(1);
      const settings = { processes, port, module: ready.pkcs11_module, label: "edgeseal", pin: ready.pin_file, id: published.cka_id, jwk, issuer: ready.issuer, audience: AUDIENCE, database: join(folder, `${name}-${processes}.db`), cert: join(dir, "tls/server.crt"), key: join(dir, "tls/server.key"), ca: ready.ca, modules: join(peers, "package.json") };
      const file = join(folder, `${name}-${processes}.json`);
      writeFileSync(file, JSON.stringify(settings));
      const [command, ...args] = name === "node" ? [node22, join(root, "tests/bench/signer/peers/node.mjs"), file] : [join(peers, "python/bin/python"), "peer.py"];
      const child = spawn(command, args, { cwd: join(root, "tests/bench/signer/peers"), env: { ...environment, NODE_NO_WARNINGS: "1", SETTINGS: file, PYTHONDONTWRITEBYTECODE: "1" }, stdio: ["ignore", "ignore", "inherit"], detached: true });
      children.push({ kill: (signal) => { try { process.kill(-child.pid, signal); } catch { /* it has ended */ } } });
      const agent = { url: `127.0.0.1:${port}`, ca: ready.ca, cert: ready.agent_cert, key: ready.agent_key };
      const command_ = { ...agent, path: "/v1/tokens", expect: 1, connections: CONNECTIONS, seconds, bodies: [body("default")] };
      await until(() => load.run({ ...command_, seconds: 0.1, connections: 1 }), child);
      const end = async () => { try { process.kill(-child.pid, "SIGKILL"); } catch { /* it has ended */ } };
      const { per_s } = await load.run(command_);
      const found = { agent, processes, per_s, end };
      if (best && best.per_s >= per_s) await end();
      else {
        await best?.end();
        best = found;
      }
    }
    return best;
  }

  async function jwkOf(kid) {
    const signer = await serve("jwks", (config) => config);
    const port = readFileSync(join(dir, "jwks.toml"), "utf8").match(/\[listen\.public\]\naddress = "127\.0\.0\.1:(\d+)"/)[1];
    const set = JSON.parse(await fetched(port, ready.ca, "/.well-known/jwks.json"));
    await signer.end();
    return set.keys.find((key) => key.kid === kid);
  }

  return { dir, ready, keys, environment, serve, peer, rawOf, raw: (algorithm, threads, seconds) => rawOf(idOf(algorithm), algorithm, threads, seconds), tool: (args) => output(join(peers, "token"), [ready.pkcs11_module, "edgeseal", ready.pin_file, ...args], environment) };
}

/** Where the time of one token goes: on one connection, so that nothing waits for anything else. */
async function cost(load, command, signer, raw, quick) {
  const phases = ["policy", "audit", "sign", "check"];
  const read = async () => {
    const shown = await signer.metrics();
    const value = (name) => Number(shown.match(new RegExp(`^${name} (\\S+)`, "m"))?.[1] ?? 0);
    return Object.fromEntries(phases.map((phase) => [phase, [value(`edgeseal_issue_seconds_sum\\{phase="${phase}"\\}`), value(`edgeseal_issue_seconds_count\\{phase="${phase}"\\}`)]]));
  };
  const before = await read();
  const { mean_ms } = await load.run({ ...command, connections: 1, seconds: quick ? 0.5 : 3 });
  const after = await read();
  const each = Object.fromEntries(phases.map((phase) => [phase, (1e6 * (after[phase][0] - before[phase][0])) / (after[phase][1] - before[phase][1])]));
  const total = mean_ms * 1_000;
  const rest = total - phases.reduce((sum, phase) => sum + each[phase], 0);
  return { bench: "sign", host: "native", alg: "ES256", case: "cost_on_one_connection", us: rounded({ total, tls_and_http: rest, ...each, c_sign: 1e6 / (await raw("ES256", 1)) }), note: "sign is c_sign and the way to the session's thread and back; tls_and_http holds the load generator's side too" };
}

/** What each has found in every round, one after the other, forwards and backwards in turn. */
async function inRounds(rounds, contestants) {
  const seen = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    const names = Object.keys(contestants);
    if (round % 2) names.reverse();
    for (const name of names) seen[name].push(await contestants[name]());
  }
  return seen;
}

/** p99 at 60 % of what each can do, requests coming evenly whatever the answers do; in rounds, as a disk that stalls for a moment hits one of them. */
async function latency(load, us, contestants, quick, judge) {
  const at = Object.fromEntries(Object.entries(contestants).map(([name, [, rates]]) => [name, 0.6 * summary(rates).median]));
  const runs = Object.entries(contestants).map(([name, [agent]]) => [name, () => load.run({ ...us, ...agent, bodies: [body("default")], seconds: quick ? 1 : 4, rate: at[name] })]);
  const seen = await inRounds(quick ? 1 : 5, Object.fromEntries(runs));
  const of = (name, figure) => seen[name].map((round) => round[figure]);
  const ms = Object.fromEntries(Object.keys(seen).map((name) => [name, rounded({ rate: at[name], p50: summary(of(name, "p50_ms")).median, p99: summary(of(name, "p99_ms")).median, max: Math.max(...of(name, "max_ms")) })]));
  const ours = of("edgeseal", "p99_ms");
  judge("signer: p99 at 60 % of its own saturation, ms", summary(ours), 10, false);
  for (const [name, shown] of [["node_pkcs11js", "node pkcs11js'"], ["python_pkcs11", "python-pkcs11's"]]) {
    judge(`signer: p99 at 60 %, times ${shown} at its own`, summary(of(name, "p99_ms").map((theirs, round) => ours[round] / theirs)), 1, false);
  }
  return { bench: "sign", host: "native", alg: "ES256", case: "latency_at_60_percent", ms };
}

/** What the disk alone does to whoever needs every row on it: it decides about p99 where more than one hundredth of the time goes to stalls. */
async function disk(quick) {
  const file = join(folder, "disk");
  const written = openSync(file, "w");
  const octets = Buffer.alloc(32 * 1024);
  const ms = [];
  const span = quick ? 500 : 8_000;
  const began = performance.now();
  while (performance.now() - began < span) {
    const from = performance.now();
    writeSync(written, octets, 0, octets.length, (ms.length % 1_024) * octets.length);
    fsyncSync(written);
    ms.push(performance.now() - from);
    await new Promise((done) => setTimeout(done, 1));
  }
  closeSync(written);
  rmSync(file);
  ms.sort((a, b) => a - b);
  const stalls = ms.filter((one) => one > 5).reduce((sum, one) => sum + one, 0);
  const found = { p50: ms[ms.length >> 1], p99: ms[Math.floor(ms.length * 0.99)], max: ms.at(-1), percent_of_time_in_stalls: (100 * stalls) / span };
  return { bench: "sign", host: "native", case: "disk", ms: rounded(found), note: "32 KiB and fsync, one after the other, with nothing else to do; a stall is one of more than 5 ms" };
}

/**
 * At the KeyStore trait, without HTTP: what `edgeseal doctor` measures. A module serializes where a second thread brings it next to nothing;
 * worker processes are for that one. Where it does not, they are shown; where none does, what is asked of them is not met.
 */
async function processes(token, rounds, note, judge) {
  const what = "signer: worker processes, times one process' rate at the key store";
  let judged = false;
  for (const [module, args] of [["SoftHSM", ["--dir", token.dir]], ["kryoptic", ["--config", await onKryoptic(token)]]]) {
    const [single, double, workers] = [[], [], []];
    for (let round = 0; round < Math.min(rounds, 3); round += 1) {
      const { speed } = JSON.parse(await output(edgeseal, ["doctor", "--json", ...args], process.env, true));
      const rates = speed.filter((rate) => rate.algorithm === "ES256");
      const best = (of) => Math.max(...rates.filter(of).map((rate) => rate.per_second));
      single.push(best(({ processes, threads }) => processes === 0 && threads === 1));
      double.push(best(({ processes, threads }) => processes === 0 && threads === 2));
      workers.push(best(({ processes }) => processes > 0));
    }
    const inside = single.map((rate, round) => Math.max(rate, double[round]));
    const serializes = times(double, single).median < 1.2;
    note(row("ES256", `processes, ${module}`, { one_thread: single, two_threads: double, worker_processes: workers }, { serializes, times: rounded(times(workers, inside)) }));
    if (serializes) judge(`${what}, on ${module}, which serializes`, times(workers, inside), 1.5, true);
    judged ||= serializes;
  }
  if (!judged) judge(`${what}: no module here serializes`, one(0), 1.5, true);
}

/** A configuration whose keys are in kryoptic. */
async function onKryoptic(token) {
  const library = join(target, "kryoptic/libkryoptic_pkcs11.so");
  const [configuration, pinFile, file] = [join(folder, "kryoptic.conf"), join(folder, "kryoptic.pin"), join(token.dir, "kryoptic.toml")];
  const [pin, officer] = ["Secret-Pin-1234", "Officer-4711"];
  writeFileSync(configuration, `[[slots]]\nslot = 0\ndbtype = "sqlite"\ndbargs = ${JSON.stringify(join(folder, "kryoptic.sql"))}\n`);
  writeFileSync(pinFile, pin, { mode: 0o600 });
  const tool = (args) => output("pkcs11-tool", ["--module", library, ...args], { ...process.env, KRYOPTIC_CONF: configuration });
  await tool(["--init-token", "--slot", "0", "--label", "edgeseal", "--so-pin", officer]);
  await tool(["--token-label", "edgeseal", "--login", "--login-type", "so", "--so-pin", officer, "--init-pin", "--pin", pin]);
  const lines = { module: JSON.stringify(library), token: '"edgeseal"', pin_file: JSON.stringify(pinFile), path: JSON.stringify(join(folder, "kryoptic.db")), environment: `{ KRYOPTIC_CONF = ${JSON.stringify(configuration)} }` };
  const written = readFileSync(join(token.dir, "edgeseal.toml"), "utf8").split("\n").map((line) => {
    const [name] = line.split(" = ");
    return Object.hasOwn(lines, name) ? `${name} = ${lines[name]}` : line;
  });
  writeFileSync(file, written.join("\n"));
  const { kid } = JSON.parse(await output(edgeseal, ["keys", "generate", "--profile", "default", "--json", "--config", file]));
  await output(edgeseal, ["keys", "activate", kid, "--config", file]);
  return file;
}

/** Minutes of load, and what the signer's process holds every ten seconds. */
async function memory(load, token, us, minutes, judge, say) {
  const signer = await token.serve("bench", (text) => text);
  const command = { ...us, ...signer.agent, bodies: [body("default")] };
  await load.run({ ...command, seconds: 10 });
  const held = [signer.rss()];
  let requests = 0;
  for (let turn = 0; turn < minutes * 6; turn += 1) {
    requests += (await load.run({ ...command, seconds: 10 })).requests;
    held.push(signer.rss());
    if (turn % 6 === 5) say(`memory   ${(turn + 1) / 6} min: ${held.at(-1).toFixed(1)} MB, ${requests} tokens`);
  }
  const half = held.slice(held.length >> 1);
  judge(`signer: memory over ${minutes} minutes, the second half's most, times the first's`, one(Math.max(...half) / Math.max(...held.slice(0, held.length >> 1))), 1.05, false);
  return { bench: "sign", host: "native", alg: "ES256", case: "memory", mb: { edgeseal: held.map((mb) => Number(mb.toFixed(1))) }, minutes, tokens: requests };
}

/** The load generator. */
class Load {
  constructor(children) {
    this.child = spawn(generator, { stdio: ["pipe", "pipe", "inherit"] });
    children.push(this.child);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  async run(command) {
    this.child.stdin.write(`${JSON.stringify(command)}\n`);
    const { value } = await this.lines.next();
    const { answer, trouble } = JSON.parse(value ?? '{"trouble":"the load generator has ended"}');
    if (trouble) throw new Error(`load on ${command.url}: ${trouble}`);
    if (answer.errors) throw new Error(`load on ${command.url}${command.path}: ${answer.errors} of ${answer.requests} failed: ${answer.first_error}`);
    return answer;
  }
}

function body(profile) {
  return JSON.stringify({ profile, audience: AUDIENCE, claims: { sub: "user-4711", scope: "orders:read orders:write", tenant: "acme" }, ttl: 600 });
}

function row(alg, kase, of, more) {
  const medians = Object.fromEntries(Object.entries(of).map(([name, rounds]) => [name, Math.round(summary(rounds).median)]));
  const spread = Object.fromEntries(Object.entries(of).map(([name, rounds]) => [name, [Math.round(Math.min(...rounds)), Math.round(Math.max(...rounds))]]));
  return { bench: "sign", host: "native", alg, case: kase, per_s: medians, spread, ...more };
}

/** How many times ours is theirs, round by round: `speedup` takes times, these are rates. */
function times(ours, theirs) {
  return speedup(ours.map((rate) => 1 / rate), theirs.map((rate) => 1 / rate));
}

function one(value) {
  return { median: value, min: value, max: value };
}

function rounded(values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === "number" ? Number(value.toFixed(3)) : value]));
}

function resident(pid) {
  return Number(readFileSync(`/proc/${pid}/status`, "utf8").match(/VmRSS:\s+(\d+)/)[1]) / 1024;
}

async function ended(child) {
  child.kill("SIGTERM");
  if (child.exitCode === null) await once(child, "exit");
}

async function until(so, child, said = () => "") {
  const began = Date.now();
  for (;;) {
    try {
      const found = await so();
      if (found) return found;
    } catch { /* not yet */ }
    if (child.exitCode !== null) throw new Error(`${child.spawnargs.slice(0, 3).join(" ")} has ended: ${said()}`);
    if (Date.now() - began > 180_000) throw new Error(`${child.spawnargs.slice(0, 3).join(" ")} is not ready: ${said()}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

function fetched(port, ca, path) {
  return new Promise((done, failed) => {
    const asked = request({ host: "localhost", port, path, ca: readFileSync(ca), agent: false }, (response) => {
      let all = "";
      response.setEncoding("utf8").on("data", (chunk) => { all += chunk; }).on("end", () => (response.statusCode === 200 ? done(all) : failed(new Error(all))));
    });
    asked.on("error", failed).end();
  });
}

const answers = (port, ca) => fetched(port, ca, "/readyz").then(() => true);

function text(port) {
  return new Promise((done, failed) => {
    get({ host: "127.0.0.1", port, path: "/metrics", agent: false }, (response) => {
      let all = "";
      response.setEncoding("utf8").on("data", (chunk) => { all += chunk; }).on("end", () => done(all));
    }).on("error", failed);
  });
}

/** What a command says; `any` takes every exit code. */
async function output(command, args, env = process.env, any = false) {
  const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk) => { out += chunk; });
  child.stderr.setEncoding("utf8").on("data", (chunk) => { err += chunk; });
  const [code] = await once(child, "close");
  if (code !== 0 && !any) throw new Error(`${command} ${args[0]}: exit ${code}: ${err || out}`);
  return out;
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({ options: { quick: { type: "boolean", default: false }, rounds: { type: "string" }, memory: { type: "string", default: "0" }, part: { type: "string", default: PARTS.join(",") } } });
  const { rows, verdicts } = await benchSigner({ quick: values.quick, memoryMinutes: Number(values.memory), parts: values.part.split(","), ...(values.rounds && { rounds: Number(values.rounds) }) });
  for (const found of rows) console.log(JSON.stringify(found));
  for (const { what, bound, found, met } of verdicts) console.log(`${met ? "met    " : "NOT MET"} ${what}: ${found}, ${bound}`);
}
