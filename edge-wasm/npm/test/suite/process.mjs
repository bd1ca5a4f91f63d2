// The cases in Node, Deno and Bun: one line of JSON for each on standard output.
import { runAll } from "./cases.mjs";

await runAll(process.argv[2], (result) => console.log(JSON.stringify(result)));
