// What the verdicts should have been, and whether the hosts agree.
import { readLine } from "./line.mjs";

/** Failures that are printed in full; the counts are always whole. */
const SHOWN = 40;

/** What a line asks for: `expect`, `code` where it names one, and its `id`. */
export function expectation(bytes) {
  try {
    readLine(bytes);
  } catch ({ code }) {
    // A policy that cannot be read may be what the line is about; a line that is none expects nothing.
    if (code === "line_malformed") return { ...lenient(bytes, ["id"]), expect: "reject", code };
  }
  return lenient(bytes, ["id", "expect", "code"]);
}

function lenient(bytes, names) {
  try {
    const line = JSON.parse(new TextDecoder().decode(bytes));
    return Object.fromEntries(names.map((name) => [name, line[name]]));
  } catch {
    return {};
  }
}

/** Why a verdict is wrong, or `undefined`. */
export function fault(expected, verdict) {
  if (verdict.v === "error") return verdict.code;
  if (verdict.v !== "accept" && verdict.v !== "reject") return `no verdict: ${JSON.stringify(verdict)}`;
  if ((verdict.v === "accept") !== (verdict.code === null)) return `${verdict.v} with code ${verdict.code}`;
  if (typeof expected.id === "string" && verdict.id !== expected.id && expected.code !== "line_malformed") return `the verdict's id is ${JSON.stringify(verdict.id)}`;
  if (expected.expect !== undefined && expected.expect !== "any" && expected.expect !== verdict.v) {
    return `${verdict.v}${verdict.code ? ` (${verdict.code})` : ""}, expected ${expected.expect}${expected.code ? ` (${expected.code})` : ""}`;
  }
  if (expected.code !== undefined && expected.code !== verdict.code) return `code ${verdict.code}, expected ${expected.code}`;
  return undefined;
}

/**
 * Counts and prints.
 *
 * @param {Uint8Array[]} lines
 * @param {Map<string, object[]>} byHost
 * @param {import("./divergences.mjs").Divergence[]} divergences a verdict that is listed is no fault; a listed one that did not come is
 * @returns {{passed: number, failed: number}} a passed or failed verdict each, and a failed one for each line on which hosts
 * differ although none is wrong
 */
export function report(lines, byHost, divergences = [], print = console.log) {
  const listed = new Map(divergences.map((row) => [`${row.id} on ${row.on}`, row]));
  const met = new Set();
  const expected = lines.map(expectation);
  const faults = [];
  let passed = 0;
  print(`\n  ${"host".padEnd(22)} ${["lines", "accept", "reject", "wrong", "error"].map((name) => name.padStart(8)).join("")}   slowest`);
  for (const [host, verdicts] of byHost) {
    const counts = { accept: 0, reject: 0, error: 0, wrong: 0 };
    verdicts.forEach((verdict, index) => {
      counts[verdict.v] = (counts[verdict.v] ?? 0) + 1;
      const known = listed.get(`${expected[index].id} on ${host}`);
      const reason = known ? undefined : fault(expected[index], verdict);
      if (known && differs(expected[index], verdict, byHost, index, listed) && verdict.code === known.code) met.add(known);
      if (reason === undefined) passed += 1;
      else faults.push(`${name(expected[index], index)} on ${host}: ${reason}`);
      if (reason !== undefined && verdict.v !== "error") counts.wrong += 1;
    });
    const row = [lines.length, counts.accept, counts.reject, counts.wrong, counts.error];
    print(`  ${host.padEnd(22)} ${row.map((count) => String(count).padStart(8)).join("")}   ${slowest(verdicts)}`);
  }
  const wrong = faults.length;
  if (byHost.size > 1) {
    lines.forEach((_, index) => {
      const compared = [...byHost].filter(([host]) => !listed.has(`${expected[index].id} on ${host}`));
      const of = ([host, verdicts]) => `${host} ${verdicts[index].code ?? verdicts[index].v}`;
      const differ = compared.some(([, verdicts]) => !isSame(verdicts[index], compared[0][1][index]));
      const known = compared.some(([, verdicts]) => fault(expected[index], verdicts[index]) !== undefined);
      if (differ && !known) faults.push(`${name(expected[index], index)}: the hosts differ: ${[...byHost].map(of).join(", ")}`);
    });
  }
  const judged = new Set(expected.map(({ id }) => id));
  for (const row of divergences) {
    if (byHost.has(row.on) && judged.has(row.id) && !met.has(row)) {
      faults.push(`${row.id} on ${row.on}: divergences.json lists code ${row.code}, which did not come`);
    }
  }
  for (const text of faults.slice(0, SHOWN)) print(`✗ ${text}`);
  if (faults.length > SHOWN) print(`  and ${faults.length - SHOWN} more`);
  if (byHost.size > 1) print(`  ${faults.length - wrong} lines on which right verdicts differ between hosts`);
  return { passed, failed: faults.length };
}

/** Whether a listed verdict is still another than it should be, or than the hosts that are not listed say. */
function differs(expected, verdict, byHost, index, listed) {
  if (fault(expected, verdict) !== undefined) return true;
  return [...byHost].some(([host, verdicts]) => !listed.has(`${expected.id} on ${host}`) && !isSame(verdicts[index], verdict));
}

function isSame(a, b) {
  return a.v === b.v && a.code === b.code;
}

function slowest(verdicts) {
  const timed = verdicts.filter(({ ms }) => typeof ms === "number");
  if (timed.length === 0) return "no clock inside";
  const { id, ms } = timed.reduce((a, b) => (b.ms > a.ms ? b : a));
  return `${ms.toFixed(1)} ms (${id})`;
}

function name({ id }, index) {
  return typeof id === "string" ? id : `line ${index + 1}`;
}
