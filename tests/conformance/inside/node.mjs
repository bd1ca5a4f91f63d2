// Inside Node: a process of its own that judges chunks of lines.
import * as edgeseal from "edgeseal";

import { judge, splitLines } from "./line.mjs";

const kept = new Map();

process.on("message", async ({ chunk, warm }) => {
  const verdicts = [];
  for (const line of splitLines(chunk)) {
    const began = performance.now();
    const verdict = await judge(edgeseal, line, warm ? kept : undefined);
    verdicts.push({ ...verdict, ms: performance.now() - began });
  }
  process.send(verdicts);
});
process.on("disconnect", () => process.exit());
process.send("ready");
