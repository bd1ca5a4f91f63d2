import { readFileSync } from "node:fs";

import * as wasm from "../wasm/edgeseal.js";
import { bind } from "./bind.js";

export { ConfigurationError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

let loaded = false;

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bind({
  load() {
    if (!loaded) wasm.initSync({ module: readFileSync(new URL("../wasm/edgeseal_bg.wasm", import.meta.url)) });
    loaded = true;
    return wasm;
  },
  conditionalRequests: true,
  requestInit: {},
  waitUntil: null,
});
