// The cases in a browser's page.
import { runAll } from "./cases.mjs";

globalThis.runAll = async (origin) => {
  const results = [];
  await runAll(origin, (result) => results.push(result));
  return results;
};
