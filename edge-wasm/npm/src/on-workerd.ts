import * as workers from "cloudflare:workers";

import { bind } from "./bind.js";
import type { Glue, Loaded } from "./core.js";
import { WEB_CRYPTO } from "./subtle.js";

/** The package's functions in workerd, over one of the two modules. */
export function bindWorkerd(wasm: Glue, module: WebAssembly.Module) {
  let loaded: Loaded | undefined;
  return bind({
    load() {
      loaded ??= { wasm, memory: wasm.initSync({ module }).memory };
      return loaded;
    },
    signatures: WEB_CRYPTO,
    conditionalRequests: true,
    requestInit: {},
    // Without it workerd would cancel a refresh when the response is out: it is awaited then.
    waitUntil: workers.waitUntil,
  });
}
