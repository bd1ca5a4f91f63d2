// workerd, as wrangler runs it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
export const wrangler = join(root, "edge-wasm", "npm", "node_modules", "wrangler", "bin", "wrangler.js");

/**
 * Starts the Worker whose wrangler.toml is in `folder`; returns its URL. `t.log()` is what it printed, `t.waitFor` waits for an
 * assertion to hold.
 */
export async function startWrangler(t, folder, more = []) {
  const port = await freePort();
  const state = mkdtempSync(join(tmpdir(), "edgeseal-worker-"));
  const args = ["dev", "--local", "--ip", "127.0.0.1", "--port", port, "--persist-to", state, "--inspector-port", await freePort()];
  const child = spawn(node(), [wrangler, ...args.map(String), ...more], {
    cwd: folder,
    env: { ...process.env, CI: "1", WRANGLER_SEND_METRICS: "false", DO_NOT_TRACK: "1", FORCE_COLOR: "0" },
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own: killed, wrangler would leave workerd behind.
    detached: true,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (output += data));
  t.after(async () => {
    child.kill("SIGTERM");
    // wrangler waits for open connections, but not for ever.
    const impatient = setTimeout(() => killGroup(child.pid), 5_000);
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    clearTimeout(impatient);
    killGroup(child.pid);
    for (const stream of [child.stdout, child.stderr]) stream.destroy();
    rmSync(state, { recursive: true, force: true });
  });
  t.log = () => output;
  t.waitFor = async (check) => {
    for (const end = Date.now() + 120_000; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
      try {
        return await check();
      } catch (error) {
        if (Date.now() > end) throw error;
      }
    }
  };
  await t.waitFor(() => {
    if (child.exitCode !== null) throw new Error(`wrangler ended:\n${output}`);
    assert.match(output, /Ready on/, output);
  });
  return `http://127.0.0.1:${port}`;
}

function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}

// wrangler needs Node 22; the project's own is in tests/.
function node() {
  const own = join(root, "tests", "node_modules", "node", "bin", "node");
  return Number(process.versions.node.split(".")[0]) >= 22 || !existsSync(own) ? process.execPath : own;
}

/** A port that is free now. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
