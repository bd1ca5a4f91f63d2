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
const started = plan.startups ? await startup(plan.algorithms[0], made[plan.algorithms[0]], plan.startups) : undefined;
if (started) console.log(`startup    ${Object.entries(started).map(([name, ms]) => `${name} ${summary(ms).median.toFixed(1)} ms`).join(", ")}`);
write();

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
  const verdicts = complete ? [...judge(measured, started), ...signer.verdicts] : signer.verdicts;
  writeFileSync(join(plan.out, "report.json"), `${JSON.stringify(toJson({ about, measured, started, verdicts, signer: signer.rows }), undefined, 1)}\n`);
  if (!complete) return;
  writeFileSync(join(plan.out, "report.md"), toMarkdown({ about, measured, started, verdicts, signer: signer.rows }));
  for (const kase of unique(measured.map((row) => row.kase))) writeFileSync(join(plan.out, `${kase}.svg`), plot(measured, kase));
  console.log(`\n${compact(measured).join("\n")}\n`);
  if (plan.quick) return;
  for (const { what, bound, found, met } of verdicts) if (!met) console.log(`not met: ${what}: ${found}, ${bound}`);
  console.log(`${verdicts.filter(({ met }) => met).length} of ${verdicts.length} bounds met; ${((Date.now() - began) / 1_000).toFixed(0)} s; ${plan.out}/report.md`);
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
      rounds: { type: "string", default: quick ? "1" : "7" },
      batch: { type: "string", default: quick ? "4" : "60" },
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
  return {
    quick,
    hosts,
    signer: asked.includes(SIGNER),
    algorithms: list(values.alg, ALGORITHMS, "algorithm"),
    cases: list(values.case, CASES, "case"),
    only: values.only?.split(","),
    rounds: Number(values.rounds),
    batchMs: Number(values.batch),
    out: values.out,
    cpu: values.cpu,
    stats: values.stats,
    tokens: quick ? 128 : 512,
    startups: hosts.includes("workerd") && values.only === undefined ? (quick ? 1 : 11) : 0,
  };
}
