// The package as users get it: packed, unpacked into a project of its own, with some packages of ours beside it.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's own folder. */
export const here = dirname(dirname(fileURLToPath(import.meta.url)));

/** A user's project with the packed package and `beside`; `files` is what the tarball holds, `tarball` where it is. */
export function installPacked({ beside = [] } = {}) {
  const project = mkdtempSync(join(tmpdir(), "edgeseal-user-"));
  const packed = JSON.parse(run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", project], here));
  const { filename, files } = Array.isArray(packed) ? packed[0] : Object.values(packed)[0];
  const installed = join(project, "node_modules", "edgeseal");
  mkdirSync(installed, { recursive: true });
  run("tar", ["-xzf", join(project, filename), "--strip-components=1", "-C", installed]);
  for (const name of beside) {
    const link = join(project, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(here, "node_modules", name), link);
  }
  writeFileSync(join(project, "package.json"), '{"type":"module","private":true}');
  return {
    project,
    installed,
    tarball: join(project, filename),
    files: files.map((file) => file.path).sort(),
    remove: () => rmSync(project, { recursive: true, force: true }),
  };
}

/** Compiles a user's files, strictly. */
export function compile(project, files, ...more) {
  const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
  const flags = ["--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom,dom.iterable", "--types", "", "--noEmit"];
  run(process.execPath, [tsc, "--ignoreConfig", ...flags, ...more, ...files], project);
}

/** Runs a program to its end; what it printed is in the error if it fails. */
export function run(command, args, cwd) {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
  } catch (error) {
    throw new Error(`${command} ${args.join(" ")}\n${error.stdout ?? error.message}${error.stderr ?? ""}`);
  }
}
