// What a process has computed so far, in milliseconds over all its threads (Linux): on a machine that others use too, it tells more than
// the time that has passed.
import { readFileSync, readdirSync } from "node:fs";

export function cpuMs(pid) {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
    } catch {
      // The thread has ended.
    }
  }
  return nanoseconds / 1e6;
}
