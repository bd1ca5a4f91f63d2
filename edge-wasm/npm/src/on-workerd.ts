import * as workers from "cloudflare:workers";

import { bind } from "./bind.js";
import { Instance, type Glue } from "./core.js";
import { WEB_CRYPTO } from "./subtle.js";

/** The package's functions in workerd, over one of the two modules. */
export function bindWorkerd(wasm: Glue, module: WebAssembly.Module) {
  let instance: Instance | undefined;
  return bind({
    load() {
      if (instance === undefined) {
        wasm.initSync({ module });
        instance = new Instance(wasm);
      }
      return instance;
    },
    signatures: WEB_CRYPTO,
    conditionalRequests: true,
    requestInit: {},
    // Without it workerd would cancel a refresh when the response is out: it is awaited then.
    waitUntil: workers.waitUntil,
  });
}
