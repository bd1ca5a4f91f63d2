// Inside Node: a process of its own, which answers messages one by one.
import jsonwebtoken from "jsonwebtoken";
import { createPublicKey } from "node:crypto";

import { Runner } from "./runner.mjs";

const runner = new Runner({
  jsonwebtoken: {
    can: (algorithm) => algorithm !== "EdDSA",
    async open({ algorithm, issuer, audience, jwks }) {
      const keys = new Map(jwks.keys.map((jwk) => [jwk.kid, createPublicKey({ key: jwk, format: "jwk" })]));
      const options = { issuer, audience, algorithms: [algorithm] };
      const find = ({ kid }, done) => done(null, keys.get(kid));
      const verify = (token) => new Promise((resolve, reject) => {
        jsonwebtoken.verify(token, find, options, (error, payload) => (error ? reject(error) : resolve(payload)));
      });
      return { verify, claims: (payload) => payload };
    },
  },
});

const acts = {
  load: (fixtures) => runner.load(fixtures),
  names: (algorithm) => runner.names(algorithm),
  stats: (cell) => runner.stats(cell),
  async run(cell) {
    const began = performance.now();
    await runner.run(cell);
    return performance.now() - began;
  },
};

process.on("message", async ({ act, argument }) => {
  try {
    process.send({ answer: await acts[act](argument) });
  } catch (error) {
    process.send({ trouble: String(error?.stack ?? error) });
  }
});
process.on("disconnect", () => process.exit());
process.send({ answer: "ready" });
