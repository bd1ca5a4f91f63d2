// Processes that the demo and the tests start: each in a process group of its own, output in a file, and a mark in its
// environment by which it, and whatever it starts itself, can be found again. Nothing else is ever ended.

import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { until } from "./wait.mjs";

const MARK = "EDGESEAL_STARTED_BY";

/**
 * @param {{name: string, command: string, args: string[], log: string, mark: string, env?: Record<string, string>, cwd?: string}} what
 */
export function start({ name, command, args, log, mark, env = {}, cwd }) {
  const out = openSync(log, "w", 0o600);
  const child = spawn(command, args, { cwd, detached: true, stdio: ["ignore", out, out], env: { ...process.env, ...env, [MARK]: mark } });
  closeSync(out);
  let ended = null;
  child.on("error", (error) => { ended = error.code === "ENOENT" ? `cannot run ${command}: not installed` : error.message; });
  child.on("exit", (code, signal) => { ended ??= signal ? `ended by ${signal}` : `exit ${code}`; });
  child.unref();
  return {
    name,
    log,
    get pid() { return child.pid; },
    get code() { return child.exitCode; },
    /** Why it is no longer running, with the last words of its log; null while it runs. */
    get trouble() { return ended && `${name} ended (${ended})${lastWords(log)}`; },
    output: () => readFileSync(log, "utf8"),
    exited: (seconds = 15) => until(`${name} ends`, () => ended, { seconds }),
    signal: (signal) => signalGroup(child.pid, signal),
    /** Ends it, and whatever it started: SIGTERM, and SIGKILL to what is still there after a while. How it ended. */
    async stop({ seconds = 10 } = {}) {
      signalGroup(child.pid, "SIGTERM");
      try {
        await until(`${name} ends`, () => ended !== null && !groupAlive(child.pid), { seconds });
      } catch {
        signalGroup(child.pid, "SIGKILL");
        await until(`${name} ends`, () => ended !== null && !groupAlive(child.pid), { seconds: 5 });
      }
      return ended;
    },
  };
}

function lastWords(log) {
  const lines = readFileSync(log, "utf8").trim().split("\n").filter(Boolean);
  return lines.length ? `: ${lines.at(-1).slice(0, 400)}` : "";
}

/** What identifies a process beyond its number, which the system gives to another one later. */
export function identity(pid) {
  if (existsSync("/proc/self/stat")) {
    try {
      return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}/${statFields(pid)[19]}`;
    } catch {
      return null;
    }
  }
  try {
    return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || null;
  } catch {
    return null;
  }
}

/**
 * Ends every process that carries the mark, and the recorded ones whose identity is still the same; SIGTERM first.
 * @param {string} mark
 * @param {{pid: number, identity: string | null}[]} recorded
 * @returns {Promise<number>} how many were ended
 */
export async function endMarked(mark, recorded = []) {
  const find = () => {
    const found = new Set(marked(mark));
    for (const one of recorded) if (one.identity && identity(one.pid) === one.identity) found.add(one.pid);
    return [...found].filter((pid) => pid !== process.pid);
  };
  const first = find();
  for (const pid of first) signalOne(pid, "SIGTERM");
  try {
    await until("processes end", () => find().length === 0, { seconds: 8 });
  } catch {
    for (const pid of find()) signalOne(pid, "SIGKILL");
    await until("processes end", () => find().length === 0, { seconds: 5 });
  }
  return first.length;
}

/** Processes of this user that carry the mark (Linux; elsewhere the recorded identities serve). */
function marked(mark) {
  if (!existsSync("/proc/self/environ")) return [];
  const found = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const environment = readFileSync(`/proc/${entry}/environ`, "latin1");
      if (`\0${environment}`.includes(`\0${MARK}=${mark}\0`) && statFields(entry)[0] !== "Z") found.push(Number(entry));
    } catch { /* gone, or another user's */ }
  }
  return found;
}

/** The fields of /proc/PID/stat behind the command name: [state, ppid, pgrp, …, starttime at 19]. */
function statFields(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function groupAlive(group) {
  if (existsSync("/proc/self/stat")) {
    return readdirSync("/proc").some((entry) => {
      if (!/^\d+$/.test(entry)) return false;
      try {
        const fields = statFields(entry);
        return Number(fields[2]) === group && fields[0] !== "Z";
      } catch {
        return false;
      }
    });
  }
  return signalGroup(group, 0);
}

function signalGroup(group, signal) {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

function signalOne(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch { /* gone */ }
}
