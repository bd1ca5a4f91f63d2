// How long it takes from the start of workerd to the answer of a first request, with a token verified in it and with none.
import { serve } from "./hosts/workerd.mjs";

const ENTRIES = { empty: "empty.mjs", edgeseal: "first.mjs", jose: "first-jose.mjs" };

/** @returns {Promise<Record<string, number[]>>} milliseconds, for every Worker one a round */
export async function startup(algorithm, { issuer, audience, jwks, good }, rounds) {
  const body = JSON.stringify({ issuer, audience, algorithm, jwks, token: good[0] });
  const ms = Object.fromEntries(Object.keys(ENTRIES).map((name) => [name, []]));
  // The first round bundles and fills the system's caches.
  for (let round = -1; round < rounds; round += 1) {
    for (const [name, entry] of Object.entries(ENTRIES)) {
      const served = await serve(entry);
      try {
        if (typeof JSON.parse(await served.post("/", body)).sub !== "string") throw new Error(`startup: ${name} answered without claims`);
        if (round >= 0) ms[name].push(performance.now() - served.began);
      } finally {
        await served.stop();
      }
    }
  }
  return ms;
}
