// Inside Chromium: asks what to do, and says what came of it.
import { Runner } from "./runner.mjs";

const runner = new Runner();

const acts = {
  load: async (path) => runner.load(await (await fetch(path, { cache: "no-store" })).json()),
  names: (algorithm) => runner.names(algorithm),
  stats: (cell) => runner.stats(cell),
  async run(cell) {
    const began = performance.now();
    await runner.run(cell);
    return performance.now() - began;
  },
};

for (;;) {
  const { act, argument } = await (await fetch("/next", { cache: "no-store" })).json();
  let said;
  try {
    said = { answer: await acts[act](argument) };
  } catch (error) {
    said = { trouble: String(error?.stack ?? error) };
  }
  await fetch("/said", { method: "POST", body: JSON.stringify(said) });
}
