import { readFileSync } from "node:fs";

import * as wasm from "../wasm/edgeseal.js";
import { bind } from "./bind.js";
import type { Loaded } from "./core.js";

export { ConfigurationError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

let loaded: Loaded | undefined;

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bind({
  load() {
    loaded ??= { wasm, memory: wasm.initSync({ module: readFileSync(new URL("../wasm/edgeseal_bg.wasm", import.meta.url)) }).memory };
    return loaded;
  },
  conditionalRequests: true,
  requestInit: {},
  waitUntil: null,
});
