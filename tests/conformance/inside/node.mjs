// Inside Node: a process of its own that judges chunks of lines.
import { attempt } from "./dos.mjs";
import * as edgeseal from "edgeseal";
import * as reference from "edgeseal/reference";

import { judges } from "./line.mjs";

const judge = judges(edgeseal, reference, true);

process.on("message", async ({ chunk, mode, hostile }) => process.send(await (hostile ? attempt(edgeseal, hostile) : judge(chunk, mode))));
process.on("disconnect", () => process.exit());
process.send("ready");
