// The files of signer-native/deploy on copies of this machine with systemd of their own: the units followed as their first lines say, the alarms
// judged, and of the Containerfile the last stage's instructions, without a container engine. Its first stage and its commands of podman are not run.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { bench } from "../support/harness.mjs";
import { onCopy } from "../support/machine.mjs";
import { edgeseal, root } from "../support/paths.mjs";

const here = bench("deploy");
const deploy = (file) => join(root, "signer-native/deploy", file);
const beside = (file) => join(root, "tests/e2e/deploy", file);
const COMPANY = { "/srv/company.sh": beside("company.sh"), "/usr/share/doc/edgeseal/README.md": join(root, "signer-native/README.md"), "/usr/bin/edgeseal": edgeseal };

test("both units: tokens, with everything shut that they shut, after a kill too", async () => {
  const { output, read } = await onCopy(here, {
    name: "units",
    script: ". /srv/units.sh",
    files: {
      ...COMPANY,
      "/srv/units.sh": beside("units.sh"),
      "/etc/systemd/system/edgeseal.service": deploy("edgeseal.service"),
      "/etc/systemd/system/edgeseal-agent.service": deploy("edgeseal-agent.service"),
    },
  });
  assert.equal(read("warnings"), "", "systemd understands every line");
  assert.match(output, /✓ accepted/);
  assert.deepEqual(read("results").split("\n").filter(Boolean), ["success", "success"]);
});

test("the Containerfile: what its last stage makes serves", async () => {
  const stage = readFileSync(deploy("Containerfile"), "utf8").split(/^FROM /m).at(-1).replaceAll("\\\n", "");
  const [base, ...lines] = stage.split("\n").filter((line) => line && !line.startsWith("#"));
  assert.match(base, /\/debian:/);
  const said = Object.groupBy(lines.map((line) => /^([A-Z]+) (.+)$/.exec(line)), ([, instruction]) => instruction);
  const of = (instruction) => said[instruction].map(([, , text]) => text);
  assert.deepEqual(Object.keys(said).sort(), ["CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "RUN", "STOPSIGNAL", "USER", "VOLUME"], "each of these is played here");
  assert.deepEqual(of("COPY"), ["--from=build /src/target/release/edgeseal /usr/bin/edgeseal"]);
  const [entry, command] = [of("ENTRYPOINT"), of("CMD")].map(([words]) => JSON.parse(words).join(" "));
  const { output, read } = await onCopy(here, {
    name: "container",
    network: true,
    files: { ...COMPANY, "/srv/container.sh": beside("container.sh") },
    script: `
      ${of("RUN").join("\n")}
      export ${of("ENV").join(" ")} AS=${of("USER")} VOLUME=${of("VOLUME")} STOP=${of("STOPSIGNAL")} SERVE="${entry} ${command}"
      unshare --net sh -eux /srv/container.sh
    `,
  });
  assert.match(output, /^ready$/m);
  const kept = read("volume");
  for (const file of [/\/edgeseal\.db$/m, /\/tokens\/[^/]+\/[^/]+\.object$/m]) assert.match(kept, file, "keys and store outlive the container");
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
