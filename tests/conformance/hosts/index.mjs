// The four hosts. Each is started, judges chunks of lines, and is stopped; none knows what a line should get.
//
// start()             brings it up, or throws one sentence
// judge(chunk, mode)  a Buffer of lines -> verdicts in order, with `ms` where the host has a clock; mode: one of `modes` (modes.mjs)
// hostile(name)       a case of inside/dos.mjs, in the hosts of the npm package
// stop()              ends everything that start() began
import { ChromiumHost } from "./chromium.mjs";
import { NativeHost } from "./native.mjs";
import { NodeHost } from "./node.mjs";
import { WorkerdHost } from "./workerd.mjs";

export const hosts = { native: NativeHost, node: NodeHost, workerd: WorkerdHost, chromium: ChromiumHost };
