import * as workers from "cloudflare:workers";

import * as wasm from "../wasm/edgeseal.js";
// workerd compiles a module when it is uploaded and refuses to compile bytes later.
import module from "../wasm/edgeseal_bg.wasm";
import { bind } from "./bind.js";
import type { Loaded } from "./core.js";

export { ConfigurationError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

let loaded: Loaded | undefined;

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bind({
  load() {
    loaded ??= { wasm, memory: wasm.initSync({ module }).memory };
    return loaded;
  },
  conditionalRequests: true,
  requestInit: {},
  // Without it workerd would cancel a refresh when the response is out: it is awaited then.
  waitUntil: workers.waitUntil,
});
