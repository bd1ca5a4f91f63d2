// What the running demo consists of: target/demo/running.json, read by the next demo and by `make demo-stop`.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { target } from "../support/paths.mjs";
import { endMarked, identity } from "../support/processes.mjs";

export const directory = join(target, "demo");
const ledgerFile = join(directory, "running.json");
export const envFile = join(directory, "env.json");

/** Written as soon as a process exists, so that a crash of the demo leaves nothing unknown behind. */
export function record(mark, processes) {
  mkdirSync(directory, { recursive: true });
  writeFileSync(ledgerFile, JSON.stringify({ mark, processes: processes.map(({ name, pid }) => ({ name, pid, identity: identity(pid) })) }, null, 2));
}

/** Ends what an earlier demo left, exactly that: {ended: how many processes}. */
export async function endEarlier() {
  if (!existsSync(ledgerFile)) return { ended: 0 };
  let ledger;
  try {
    ledger = JSON.parse(readFileSync(ledgerFile, "utf8"));
  } catch {
    rmSync(ledgerFile);
    return { ended: 0 };
  }
  const ended = await endMarked(ledger.mark, ledger.processes);
  rmSync(ledgerFile, { force: true });
  rmSync(envFile, { force: true });
  return { ended };
}
