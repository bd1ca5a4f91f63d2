// A copy of this machine that boots systemd of its own and is thrown away: what a file of signer-native/deploy does when it is followed as root.
// Its root is this machine's, with a layer of memory over it; nothing it does is left here. Needs Linux, root, and systemd-nspawn.

import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { start } from "./processes.mjs";

/** Where a copy sees its folder. */
const INSIDE = "/run/edgeseal-test";

// The machine ends as the script does. What it says is on the folder's own disk, whatever becomes of the machine.
const UNIT = `[Unit]
Description=what a test does on this machine
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
ExecStart=/bin/sh -eux ${INSIDE}/script
StandardOutput=append:${INSIDE}/output
StandardError=append:${INSIDE}/output
`;

/**
 * Boots a copy, runs the script as root, and ends the copy. Gives all that the script said, and what it left in the folder; fails where it failed.
 * @param {ReturnType<typeof import("./harness.mjs").bench>} here
 * @param {{ name: string, script: string, files?: Record<string, string>, network?: boolean, seconds?: number }} what
 *   `files`: by their places in the copy, the files of this machine that stand there; `network`: this machine's, else a loopback of its own
 */
export async function onCopy(here, { name, script, files = {}, network = false, seconds = 180 }) {
  const folder = join(here.directory, name);
  const [layer, merged, shared] = ["layer", "merged", "shared"].map((part) => join(folder, part));
  for (const directory of [layer, merged, shared]) mkdirSync(directory, { recursive: true });
  chmodSync(folder, 0o755);
  writeFileSync(join(shared, "script"), script);
  writeFileSync(join(shared, "output"), "");
  const unit = join(folder, "test.service");
  writeFileSync(unit, UNIT);

  mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", layer);
  here.cleanup(() => execFileSync("umount", ["--lazy", layer]));
  for (const part of ["upper", "work"]) mkdirSync(join(layer, part));
  mount("-t", "overlay", "-o", `lowerdir=/,upperdir=${join(layer, "upper")},workdir=${join(layer, "work")}`, "overlay", merged);
  here.cleanup(() => execFileSync("umount", ["--lazy", merged]));

  const bound = Object.entries({ "/etc/systemd/system/edgeseal-test.service": unit, ...files }).map(([place, file]) => `--bind-ro=${file}:${place}`);
  const args = ["--quiet", "--register=no", "--keep-unit", `--machine=edgeseal-${process.pid}`, "--directory", merged, `--bind=${shared}:${INSIDE}`, ...bound];
  // With this machine's network it may still begin one of its own; runc gives each container a keyring.
  args.push(...(network ? ["--capability=CAP_NET_ADMIN", "--system-call-filter=keyctl"] : ["--private-network"]));
  const copy = start({ name: `the copy of this machine (${name})`, command: "systemd-nspawn", args: [...args, "--boot", "--", "--unit=edgeseal-test.service"], log: join(folder, "boot.log"), mark: here.mark });
  here.cleanup(() => copy.stop());
  const ended = await copy.exited(seconds);
  const output = readFileSync(join(shared, "output"), "utf8");
  if (ended !== "exit 0") throw new Error(`${copy.trouble}\n${output.slice(-4000)}`);
  return { output, read: (file) => readFileSync(join(shared, file), "utf8") };
}

function mount(...args) {
  execFileSync("mount", args);
}
