// The files of signer-native/deploy on copies of this machine with systemd of their own: units and Containerfile followed as their first lines say,
// the alarms judged.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bench } from "../support/harness.mjs";
import { onCopy } from "../support/machine.mjs";
import { edgeseal, root } from "../support/paths.mjs";

const here = bench("deploy");
const deploy = (file) => join(root, "signer-native/deploy", file);
const beside = (file) => join(root, "tests/e2e/deploy", file);
const COMPANY = { "/srv/company.sh": beside("company.sh"), "/usr/share/doc/edgeseal/README.md": join(root, "signer-native/README.md") };

test("both units: tokens, with everything shut that they shut, after a kill too", async () => {
  const { output, read } = await onCopy(here, {
    name: "units",
    script: ". /srv/units.sh",
    files: {
      ...COMPANY,
      "/usr/bin/edgeseal": edgeseal,
      "/srv/units.sh": beside("units.sh"),
      "/etc/systemd/system/edgeseal.service": deploy("edgeseal.service"),
      "/etc/systemd/system/edgeseal-agent.service": deploy("edgeseal-agent.service"),
    },
  });
  assert.equal(read("warnings"), "", "systemd understands every line");
  assert.match(output, /✓ accepted/);
  assert.deepEqual(read("results").split("\n").filter(Boolean), ["success", "success"]);
});

test("the Containerfile: podman builds it, and what it makes serves, by its first lines", async () => {
  const lines = readFileSync(deploy("Containerfile"), "utf8").split("\n");
  const said = (pattern) => lines.flatMap((line) => pattern.exec(line)?.[1] ?? []);
  const [BUILD, TOKEN, OWNER, RUN, ...more] = said(/^# {3}(.+)$/);
  assert.deepEqual([BUILD, TOKEN, OWNER, RUN].map((command) => /^(?:podman \w+|\w+)/.exec(command)[0]), ["podman build", "podman run", "chown", "podman run"]);
  assert.deepEqual(more, [], "each of its commands is played");
  const [RUST, DEBIAN] = said(/^FROM (\S+)/);
  const sysroot = execFileSync("rustc", ["--print", "sysroot"], { cwd: root, encoding: "utf8" }).trim();
  const crates = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "registry");
  const { output, read } = await onCopy(here, {
    name: "container",
    network: true,
    seconds: 1200,
    files: { ...COMPANY, "/srv/container.sh": beside("container.sh"), "/srv/container-run.sh": beside("container-run.sh"), "/srv/edgeseal": root, "/srv/rust": sysroot, "/srv/crates": crates },
    script: Object.entries({ BUILD, TOKEN, OWNER, RUN, RUST, DEBIAN }).map(([name, value]) => `export ${name}='${value}'\n`).join("") + ". /srv/container.sh",
  });
  assert.match(output, /^ready$/m);
  const kept = read("volume");
  for (const file of [/^\.\/edgeseal\.db$/m, /^\.\/tokens\/[^/]+\/[^/]+\.object$/m]) assert.match(kept, file, "keys and store outlive the container");
});

test("each alarm rings when it should, and none without a reason", async () => {
  const { output } = await onCopy(here, {
    name: "alarms",
    network: true,
    script: `apt-get -qq update; apt-get -qq install --yes --no-install-recommends prometheus; promtool test rules /srv/alerts.test.yml`,
    files: { "/srv/alerts.yml": deploy("alerts.yml"), "/srv/alerts.test.yml": beside("alerts.test.yml") },
  });
  assert.match(output, /SUCCESS/);
});
