// `make bench`: see README.md beside this file.
import { parseArgs } from "node:util";

import { ALGORITHMS, fixtures } from "./fixture.mjs";
import { ChromiumHost } from "./hosts/chromium.mjs";
import { NativeHost } from "./hosts/native.mjs";
import { NodeHost } from "./hosts/node.mjs";
import { WorkerdHost } from "./hosts/workerd.mjs";
import { measure, speedup, summary } from "./measure.mjs";

const HOSTS = { workerd: WorkerdHost, node: NodeHost, chromium: ChromiumHost, native: NativeHost };
const CASES = ["distinct", "repeated", "wrong", "concurrent"];

const { values } = parseArgs({
  options: {
    host: { type: "string", default: Object.keys(HOSTS).join(",") },
    alg: { type: "string", default: ALGORITHMS.join(",") },
    case: { type: "string", default: CASES.join(",") },
    only: { type: "string" },
    rounds: { type: "string", default: "7" },
    batch: { type: "string", default: "80" },
    cpu: { type: "boolean", default: false },
    stats: { type: "boolean", default: false },
  },
});
const algorithms = values.alg.split(",");
const made = await fixtures(algorithms, 512);
for (const name of values.host.split(",")) {
  const host = new HOSTS[name]({ cpu: values.cpu });
  try {
    await host.start(made);
    for (const algorithm of algorithms) {
      const only = values.only?.split(",");
      const names = (await host.names(algorithm)).filter((one) => only?.includes(one) ?? true);
      const cases = values.case.split(",");
      const rows = await measure(host, { algorithm, cases, names, rounds: Number(values.rounds), batchMs: Number(values.batch) });
      for (const { kase, us } of rows) {
        const parts = Object.entries(us).map(([one, rounds]) => {
          const { median, min, max } = summary(rounds);
          return `${one} ${median.toFixed(1)} (${min.toFixed(1)}..${max.toFixed(1)})`;
        });
        const ratio = us.edgeseal && us.jose ? speedup(us.edgeseal, us.jose) : undefined;
        console.log(`${name} ${algorithm} ${kase.padEnd(10)} ${ratio ? `${ratio.median.toFixed(2)} x jose (${ratio.min.toFixed(2)}..${ratio.max.toFixed(2)})  ` : ""}us: ${parts.join(", ")}`);
        if (values.stats) console.log(JSON.stringify(await host.stats({ contestant: "edgeseal", algorithm, kase })));
      }
    }
  } finally {
    await host.stop();
  }
}
