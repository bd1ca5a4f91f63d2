// Inside Chromium.
import { Runner } from "./runner.mjs";

const runner = new Runner();

globalThis.bench = {
  load: async (path) => runner.load(await (await fetch(path, { cache: "no-store" })).json()),
  names: (algorithm) => runner.names(algorithm),
  stats: (cell) => runner.stats(cell),
  async run(cell) {
    const began = performance.now();
    await runner.run(cell);
    return performance.now() - began;
  },
};
