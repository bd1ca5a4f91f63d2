// `make bench`: see README.md beside this file.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { root, target } from "../support/paths.mjs";
import { ALGORITHMS, fixtures } from "./fixture.mjs";
import { ChromiumHost } from "./hosts/chromium.mjs";
import { NativeHost } from "./hosts/native.mjs";
import { NodeHost } from "./hosts/node.mjs";
import { WorkerdHost } from "./hosts/workerd.mjs";
import { RIVAL, judge } from "./judge.mjs";
import { CONTESTANTS, added, gateway, judgeGateway } from "./gateway.mjs";
import { measure, speedup, summary } from "./measure.mjs";
import { plot } from "./plot.mjs";
import { compact, machine, toJson, toMarkdown, unique, versions } from "./report.mjs";
import { benchSigner } from "./signer/signer.mjs";
import { startup } from "./startup.mjs";

const HOSTS = { workerd: WorkerdHost, node: NodeHost, chromium: ChromiumHost, native: NativeHost };
/** Not a host of verifiers, but a part of the bench as well. */
const SIGNER = "signer";
const CASES = ["distinct", "repeated", "wrong", "concurrent"];
const began = Date.now();
const plan = planned();
const about = { machine: machine(), date: new Date(began).toISOString(), rounds: plan.rounds, clock: plan.cpu ? "cpu" : "wall", versions: versions(join(root, "tests"), join(root, "edge-wasm/npm")) };
console.log(`${about.machine.cpu}, ${about.machine.cores} cores, load ${about.machine.load}; ${plan.rounds} interleaved rounds`);

// First, on a machine that has done nothing yet: the signer's memory and latencies are figures of their own.
const signer = plan.signer ? await benchSigner() : { rows: [], verdicts: [] };
const made = await fixtures(plan.algorithms, plan.tokens);
const measured = [];
for (const name of plan.hosts) measured.push(...(await measureHost(name)));
const started = plan.hosts.length > 0 && plan.startups ? await startup(plan.algorithms[0], made[plan.algorithms[0]], plan.startups) : undefined;
for (const [from, ms] of Object.entries(started ?? {})) {
  const medians = Object.entries(ms).map(([name, one]) => `${name} ${summary(one).median.toFixed(1)} ms`).join(", ");
  console.log(`startup    ${medians} from the ${from}`);
}
const whole = plan.gateway ? await measureGateway() : undefined;
write();

/** hono takes no token of another typ than JWT. */
async function measureGateway() {
  const { algorithms, tokens } = plan.gateway;
  const result = await gateway(await fixtures(algorithms, tokens, "JWT"), plan.gateway);
  for (const { alg, kase, us } of result.rows) {
    const beyond = added(us);
    console.log(`gateway  ${alg.padEnd(5)} ${kase.padEnd(10)} us added: ${CONTESTANTS.map((name) => `${name} ${summary(beyond[name]).median.toFixed(1)}`).join(", ")}; an empty Worker takes ${summary(us.empty).median.toFixed(1)}`);
  }
  if (result.first) console.log(`gateway  first answer of a new process, ms: ${Object.entries(result.first).map(([name, ms]) => `${name} ${summary(ms).median.toFixed(1)}`).join(", ")}`);
  return result;
}

async function measureHost(name) {
  const host = new HOSTS[name]({ cpu: plan.cpu });
  const rows = [];
  try {
    await host.start(made);
    for (const alg of plan.algorithms) {
      const names = (await host.names(alg)).filter((one) => plan.only?.includes(one) ?? true);
      for (const { kase, us } of await measure(host, { ...plan, algorithm: alg, names })) {
        rows.push({ host: name, alg, kase, us });
        show(rows.at(-1));
        await demandFresh(host, { contestant: "edgeseal", algorithm: alg, kase }, names);
      }
    }
  } finally {
    await host.stop();
  }
  return rows;
}

/** What is called distinct must not have come from the cache of verified tokens. */
async function demandFresh(host, cell, names) {
  const stats = names.includes(cell.contestant) ? await host.stats(cell) : null;
  if (plan.stats && stats) console.log(JSON.stringify(stats));
  if (cell.kase !== "repeated" && stats?.tokenCache?.hits > 0) throw new Error(`${host.name} ${cell.algorithm} ${cell.kase}: ${stats.tokenCache.hits} tokens came from the cache`);
}

function show({ host, alg, kase, us }) {
  const rival = RIVAL[host];
  const ratio = us.edgeseal && us[rival] ? speedup(us.edgeseal, us[rival]) : undefined;
  const times = Object.entries(us).map(([name, rounds]) => {
    const { median, min, max } = summary(rounds);
    return `${name} ${median.toFixed(1)} (${min.toFixed(1)}..${max.toFixed(1)})`;
  });
  console.log(`${host.padEnd(8)} ${alg.padEnd(5)} ${kase.padEnd(10)} ${(ratio ? `${ratio.median.toFixed(2)} x ${rival}` : "").padEnd(21)} us: ${times.join(", ")}`);
}

function write() {
  mkdirSync(plan.out, { recursive: true });
  const complete = measured.every(({ us }) => us.edgeseal);
  const ofGateway = whole ? judgeGateway(whole) : [];
  const verdicts = [...(complete ? judge(measured, started) : []), ...ofGateway, ...signer.verdicts];
  writeFileSync(join(plan.out, "report.json"), `${JSON.stringify(toJson({ about, measured, started, whole, verdicts, signer: signer.rows }), undefined, 1)}\n`);
  if (!complete) return;
  writeFileSync(join(plan.out, "report.md"), toMarkdown({ about, measured, started, whole, verdicts, signer: signer.rows }));
  for (const kase of unique(measured.map((row) => row.kase))) writeFileSync(join(plan.out, `${kase}.svg`), plot(measured, kase));
  if (whole) writeFileSync(join(plan.out, "gateway.svg"), plot(whole.rows.map(({ alg, kase, us }) => ({ host: kase, alg, kase: "gateway", us: positive(added(us)) })), "gateway"));
  console.log(`\n${compact(measured).join("\n")}\n`);
  if (plan.quick) return;
  for (const { what, bound, found, met } of verdicts) if (!met) console.log(`not met: ${what}: ${found}, ${bound}`);
  console.log(`${verdicts.filter(({ met }) => met).length} of ${verdicts.length} bounds met; ${((Date.now() - began) / 1_000).toFixed(0)} s; ${plan.out}/report.md`);
}

/** What noise takes below nothing is nothing to a picture. */
function positive(us) {
  return Object.fromEntries(Object.entries(us).map(([name, values]) => [name, values.map((value) => Math.max(value, 0))]));
}

/** BENCH=quick: one short round of two algorithms, to see that the bench itself runs. Its figures mean nothing. */
function planned() {
  const quick = process.env.BENCH === "quick";
  const { values } = parseArgs({
    options: {
      host: { type: "string", default: process.env.HOST || (quick ? "workerd,node,chromium" : [SIGNER, ...Object.keys(HOSTS)].join(",")) },
      alg: { type: "string", default: process.env.ALG || (quick ? "ES256,RS256" : ALGORITHMS.join(",")) },
      case: { type: "string", default: CASES.join(",") },
      only: { type: "string" },
      part: { type: "string", default: "verify,gateway" },
      rounds: { type: "string", default: quick ? "1" : "7" },
      batch: { type: "string", default: quick ? "4" : "150" },
      out: { type: "string", default: join(target, quick ? "bench/quick" : "bench") },
      cpu: { type: "boolean", default: false },
      stats: { type: "boolean", default: false },
    },
  });
  const list = (text, known, what) => {
    const names = text.split(",");
    const unknown = names.find((name) => !known.includes(name));
    if (unknown !== undefined) {
      console.error(`bench: ${what} ${unknown} is not one of ${known.join(", ")}`);
      process.exit(2);
    }
    return names;
  };
  const asked = list(values.host, [SIGNER, ...Object.keys(HOSTS)], "host");
  const hosts = asked.filter((name) => name !== SIGNER);
  const parts = list(values.part, ["verify", "gateway"], "part");
  const gateway = parts.includes("gateway") && hosts.includes("workerd") && values.only === undefined;
  if (!parts.includes("verify")) hosts.length = 0;
  return {
    quick,
    hosts,
    signer: parts.includes("verify") && asked.includes(SIGNER),
    algorithms: list(values.alg, ALGORITHMS, "algorithm"),
    cases: list(values.case, CASES, "case"),
    only: values.only?.split(","),
    rounds: Number(values.rounds),
    batchMs: Number(values.batch),
    out: values.out,
    cpu: values.cpu,
    stats: values.stats,
    // Of distinct tokens more than the gateway remembers, so that none of them is a hit.
    gateway: gateway && { algorithms: list(values.alg, ALGORITHMS, "algorithm").filter((alg) => ["ES256", "RS256", "EdDSA"].includes(alg)), tokens: 4_096, rounds: Number(values.rounds), requests: quick ? 512 : 4_096, startups: quick ? 1 : 20 },
    // More than two crowds of the case `concurrent`: they end in no order, and what ended last is still in the small cache when the next begins.
    tokens: quick ? 256 : 512,
    startups: hosts.includes("workerd") && values.only === undefined ? (quick ? 1 : 31) : 0,
  };
}
