// What the figures must be (issue 3, acceptance). Noise does not fail a run: a bound that was not met is named.
import { speedup, summary } from "./measure.mjs";

/** Whom ours is compared with. */
export const RIVAL = { workerd: "jose", node: "jose", chromium: "jose", native: "jsonwebtoken" };
const SLOWER_BEYOND_NOISE = 0.95;

/** @returns {{what: string, bound: string, found: string, met: boolean}[]} */
export function judge(measured, started) {
  const verdicts = [];
  const say = (what, values, bound, { atLeast }) => {
    const { median, min, max } = values;
    const met = atLeast ? median >= bound : median <= bound;
    const near = !met && (atLeast ? max >= bound : min <= bound);
    const sign = atLeast ? "at least" : "at most";
    verdicts.push({ what, bound: `${sign} ${bound}`, found: `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})${near ? ", within the spread" : ""}`, met });
  };
  for (const { host, alg, kase, us } of measured) {
    const rival = us[RIVAL[host]];
    if (kase === "wrong") {
      const right = measured.find((row) => row.host === host && row.alg === alg && row.kase === "distinct");
      if (right) say(`${host} ${alg}: a wrong signature costs, times a right one`, speedup(right.us.edgeseal, us.edgeseal), 1.2, { atLeast: false });
    } else if (rival) {
      say(`${host} ${alg} ${kase}: speed of ${RIVAL[host]}, times`, speedup(us.edgeseal, rival), bound(host, alg, kase), { atLeast: true });
    }
  }
  if (started) say("workerd: first token, ms beyond an empty Worker", beyondEmpty(started.process.edgeseal, started.process.empty), 15, { atLeast: false });
  return verdicts;
}

/** Milliseconds of a Worker beyond those of the empty one, round by round. */
export function beyondEmpty(ms, empty) {
  return summary(ms.map((value, round) => value - empty[round]));
}

function bound(host, alg, kase) {
  if (host === "native") return alg === "ES256" && kase === "distinct" ? 1.3 : SLOWER_BEYOND_NOISE;
  if (host === "workerd" && kase === "repeated") return 10;
  if (host === "workerd" && kase === "distinct") return { ES256: 1.5, RS256: 1, PS256: 1, EdDSA: 1 }[alg] ?? SLOWER_BEYOND_NOISE;
  return SLOWER_BEYOND_NOISE;
}
