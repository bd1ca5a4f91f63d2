// Inside Chromium: fetches a chunk of lines from the page's own server and judges it.
import * as edgeseal from "edgeseal";

import { judge, splitLines } from "./line.mjs";

const kept = new Map();

globalThis.judgeChunk = async (url, warm) => {
  const response = await fetch(url, { cache: "no-store" });
  const verdicts = [];
  for (const line of splitLines(new Uint8Array(await response.arrayBuffer()))) {
    const began = performance.now();
    const verdict = await judge(edgeseal, line, warm ? kept : undefined);
    verdicts.push({ ...verdict, ms: performance.now() - began });
  }
  return verdicts;
};
