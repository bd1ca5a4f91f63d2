import { readFileSync } from "node:fs";

import * as wasm from "../wasm/full.js";
import { bind } from "./bind.js";
import { Instance } from "./core.js";
import { NODE_CRYPTO } from "./node-crypto.js";
import { WEB_CRYPTO } from "./subtle.js";

export { ConfigurationError, InternalError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

let instance: Instance | undefined;

// Deno and Bun come here too; their node:crypto is another one.
const { versions } = process;
const isNode = versions["node"] !== undefined && versions["bun"] === undefined && versions["deno"] === undefined;

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bind({
  load() {
    if (instance === undefined) {
      wasm.initSync({ module: readFileSync(new URL("../wasm/full_bg.wasm", import.meta.url)) });
      instance = new Instance(wasm);
    }
    return instance;
  },
  signatures: isNode ? NODE_CRYPTO : WEB_CRYPTO,
  conditionalRequests: true,
  requestInit: {},
  waitUntil: null,
});
