import * as workers from "cloudflare:workers";

import * as wasm from "../wasm/edgeseal.js";
// workerd compiles a module when it is uploaded and refuses to compile bytes later.
import module from "../wasm/edgeseal_bg.wasm";
import { bind } from "./bind.js";

export { ConfigurationError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

let loaded = false;

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bind({
  load() {
    if (!loaded) wasm.initSync({ module });
    loaded = true;
    return wasm;
  },
  conditionalRequests: true,
  requestInit: {},
  // Without it workerd would cancel a refresh when the response is out: it is awaited then.
  waitUntil: workers.waitUntil,
});
