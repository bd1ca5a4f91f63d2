// report.json for machines, report.md for people.
import { cpus, loadavg, release, totalmem } from "node:os";
import { readFileSync } from "node:fs";

import { CONTESTANTS, added } from "./gateway.mjs";
import { RIVAL, beyondEmpty } from "./judge.mjs";
import { speedup, summary } from "./measure.mjs";

const CASES = {
  distinct: "Distinct tokens, microseconds each",
  repeated: "One token again and again, microseconds each",
  wrong: "Wrong signatures, microseconds each",
  concurrent: "100 at a time, verifications a second",
};

export function machine() {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, memory_gb: Math.round(totalmem() / 1e9), system: `${process.platform} ${release()}`, load: round(loadavg()[0], 2) };
}

export function versions(tests, edge) {
  const of = (folder, name) => JSON.parse(readFileSync(`${folder}/node_modules/${name}/package.json`, "utf8")).version;
  const ours = JSON.parse(readFileSync(`${edge}/package.json`, "utf8")).version;
  return { edgeseal: ours, node: process.versions.node, ...Object.fromEntries(["jose", "aws-jwt-verify", "jsonwebtoken", "workerd"].map((name) => [name, of(tests, name)])) };
}

export function toJson({ about, measured, started, whole, verdicts, signer = [] }) {
  const rows = measured.map(({ host, alg, kase, us }) => {
    const rival = us[RIVAL[host]];
    const unit = kase === "concurrent" ? "per_s" : "us";
    const values = mapValues(us, (one) => (unit === "per_s" ? one.map((value) => 1e6 / value) : one));
    return {
      bench: "verify", host, alg, case: kase,
      [unit]: mapValues(values, (one) => round(summary(one).median, unit === "us" ? 2 : 0)),
      spread: mapValues(values, (one) => [round(Math.min(...one), 2), round(Math.max(...one), 2)]),
      ...(rival && { speed_over: { [RIVAL[host]]: mapValues(speedup(us.edgeseal, rival), (value) => round(value, 3)) } }),
    };
  });
  for (const [from, ms] of Object.entries(started ?? {})) {
    const { empty, ...verifying } = ms;
    rows.push({
      bench: "startup", host: "workerd", alg: "ES256", case: `first_token_from_${from}`,
      ms: mapValues(ms, (one) => round(summary(one).median, 2)),
      spread: mapValues(ms, (one) => [round(Math.min(...one), 2), round(Math.max(...one), 2)]),
      beyond_empty: mapValues(verifying, (one) => mapValues(beyondEmpty(one, empty), (value) => round(value, 2))),
    });
  }
  for (const { alg, kase, us } of whole?.rows ?? []) {
    rows.push({ bench: "gateway", host: "workerd", alg, case: kase, us: mapValues(us, (one) => round(summary(one).median, 2)), us_added: mapValues(added(us), (one) => round(summary(one).median, 2)), spread: mapValues(added(us), (one) => [round(Math.min(...one), 2), round(Math.max(...one), 2)]) });
  }
  if (whole?.first) rows.push({ bench: "gateway", host: "workerd", alg: "ES256", case: "first_answer", ms: mapValues(whole.first, (one) => round(summary(one).median, 2)), ms_added: mapValues(added(whole.first), (one) => round(summary(one).median, 2)) });
  return { ...about, rows: [...rows, ...signer.filter(Boolean)], acceptance: verdicts };
}

export function toMarkdown({ about, measured, started, whole, verdicts, signer = [] }) {
  const { machine, date, rounds, versions } = about;
  const lines = [
    "# Benchmarks",
    "",
    `${date.slice(0, 16).replace("T", " ")} UTC, ${machine.cpu}, ${machine.cores} cores, ${machine.system}, load ${machine.load} at the start. Medians of ${rounds} interleaved rounds (worker processes and scale: ${Math.min(rounds, 3)}), smallest and largest beside them.`,
    Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ") + ".",
    "",
    "Everybody finds the key by the token's kid, verifies the signature, checks issuer, audience, algorithm and times, and returns the claims; `webcrypto` and `aws-lc-rs` alone verify and decode, and check nothing. Distinct tokens are never answered from a cache.",
    "",
    "## How many times as fast as jose (natively: jsonwebtoken with aws-lc)",
    "",
    ...compact(measured),
    "",
    ...plots(measured),
  ];
  for (const [kase, title] of Object.entries(CASES)) {
    const rows = measured.filter((row) => row.kase === kase);
    if (rows.length === 0) continue;
    lines.push(`## ${title}`, "");
    for (const host of unique(rows.map((row) => row.host))) {
      const of = rows.filter((row) => row.host === host);
      const names = unique(of.flatMap(({ us }) => Object.keys(us)));
      lines.push(`### ${host}`, "", `| alg | ${names.join(" | ")} |`, `|---|${names.map(() => "---:|").join("")}`);
      for (const { alg, us } of of) lines.push(`| ${alg} | ${names.map((name) => (us[name] ? cell(kase, us[name]) : "")).join(" | ")} |`);
      lines.push("");
    }
  }
  if (started) {
    lines.push("## A first token in workerd, milliseconds", "", "| Worker | first request | beyond an empty one's | from the start of the process | beyond an empty one's |", "|---|---:|---:|---:|---:|");
    for (const name of Object.keys(started.request)) {
      const cells = Object.values(started).flatMap((ms) => [spread(summary(ms[name]), 1), name === "empty" ? "" : spread(beyondEmpty(ms[name], ms.empty), 1)]);
      lines.push(`| ${name} | ${cells.join(" | ")} |`);
    }
    lines.push("");
  }
  if (signer.length > 0) {
    lines.push("## The signer on SoftHSM", "", "As it is shipped: durable audit, every signature checked, mutual TLS on kept-alive connections; the peers do the same work.", "", "| alg | case | |", "|---|---|---|");
    for (const row of signer.filter(Boolean)) {
      const [unit, values] = Object.entries(row).find(([name]) => ["per_s", "us", "ms", "mb"].includes(name)) ?? ["", {}];
      const shown = Object.entries(values).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
      lines.push(`| ${row.alg ?? ""} | ${row.case} | ${unit}: ${shown} |`);
    }
    lines.push("");
  }
  if (whole) {
    lines.push("## The gateway in workerd: microseconds that each adds to a request", "", "Beyond a Worker that verifies nothing, on one connection with 32 requests on their way; the Workers with jose and with hono's jwk middleware do what the gateway does here, and no more.", "", "![Added time per request](gateway.svg)", "", `| alg, case | ${CONTESTANTS.join(" | ")} | an empty Worker's request |`, `|---|${"---:|".repeat(CONTESTANTS.length + 1)}`);
    for (const { alg, kase, us } of whole.rows) {
      const beyond = added(us);
      lines.push(`| ${alg}, ${kase} | ${CONTESTANTS.map((name) => spread(summary(beyond[name]), 1)).join(" | ")} | ${spread(summary(us.empty), 1)} |`);
    }
    if (whole.first) {
      lines.push("", "From the start of a process to its first answer, milliseconds:", "", "| Worker | ms | beyond an empty one |", "|---|---:|---:|");
      for (const [name, ms] of Object.entries(whole.first)) lines.push(`| ${name} | ${spread(summary(ms), 1)} | ${name === "empty" ? "" : spread(summary(added(whole.first)[name]), 1)} |`);
    }
    lines.push("");
  }
  lines.push("## Acceptance", "", "| what | bound | found | |", "|---|---|---|---|");
  for (const { what, bound, found, met } of verdicts) lines.push(`| ${what} | ${bound} | ${found} | ${met ? "met" : "**not met**"} |`);
  return `${lines.join("\n")}\n`;
}

/** The table for a README: distinct tokens, and the most and least of the other cases. */
export function compact(measured) {
  const algs = unique(measured.map((row) => row.alg));
  const lines = [`| host, case | ${algs.join(" | ")} |`, `|---|${algs.map(() => "---:|").join("")}`];
  for (const host of unique(measured.map((row) => row.host))) {
    for (const kase of unique(measured.map((row) => row.kase))) {
      const cells = algs.map((alg) => {
        const us = measured.find((row) => row.host === host && row.kase === kase && row.alg === alg)?.us;
        return us?.[RIVAL[host]] ? `${speedup(us.edgeseal, us[RIVAL[host]]).median.toFixed(2)}` : "";
      });
      if (cells.some((text) => text !== "")) lines.push(`| ${host}, ${kase} | ${cells.join(" | ")} |`);
    }
  }
  return lines;
}

function plots(measured) {
  const has = (kase) => measured.some((row) => row.kase === kase);
  return ["distinct", "repeated", "wrong", "concurrent"].filter(has).flatMap((kase) => [`![${CASES[kase]}](${kase}.svg)`, ""]);
}

function cell(kase, us) {
  if (kase !== "concurrent") return spread(summary(us), 1);
  return spread(summary(us.map((value) => 1e6 / value)), 0);
}

function spread({ median, min, max }, digits) {
  return `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
}

function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}

export function unique(values) {
  return [...new Set(values)];
}
