// What a Worker's first request costs that has a token verified in it, and what one costs that has none: in a process that listens
// already, and from the start of the process.
import { serve } from "./hosts/workerd.mjs";

const ENTRIES = { empty: "empty.mjs", edgeseal: "first.mjs", jose: "first-jose.mjs" };

/** @returns {Promise<Record<"request" | "process", Record<string, number[]>>>} milliseconds, for every Worker one a round */
export async function startup(algorithm, { issuer, audience, jwks, good }, rounds) {
  const body = JSON.stringify({ issuer, audience, algorithm, jwks, token: good[0] });
  const nothing = () => Object.fromEntries(Object.keys(ENTRIES).map((name) => [name, []]));
  const ms = { request: nothing(), process: nothing() };
  // The first round bundles and fills the system's caches.
  for (let round = -1; round < rounds; round += 1) {
    for (const [name, entry] of Object.entries(ENTRIES)) {
      const served = await serve(entry);
      try {
        const asked = performance.now();
        const answer = await served.post("/", body);
        const answered = performance.now();
        if (typeof JSON.parse(answer).sub !== "string") throw new Error(`startup: ${name} answered without claims`);
        if (round < 0) continue;
        ms.request[name].push(answered - asked);
        ms.process[name].push(answered - served.began);
      } finally {
        await served.stop();
      }
    }
  }
  return ms;
}
