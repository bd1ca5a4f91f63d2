import * as wasm from "../wasm/edgeseal.js";
import { bind } from "./bind.js";
import type { Loaded } from "./core.js";

export { ConfigurationError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

let loading: Promise<Loaded> | undefined;

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bind({
  load() {
    loading ??= wasm.default({ module_or_path: new URL("../wasm/edgeseal_bg.wasm", import.meta.url) }).then(
      ({ memory }) => ({ wasm, memory }),
      (error: unknown) => {
        // A network that was down may be up the next time.
        loading = undefined;
        throw error;
      },
    );
    return loading;
  },
  conditionalRequests: false,
  // The browser's own cache revalidates; neither cookies nor the page's address go to the issuer.
  requestInit: { cache: "no-cache", credentials: "omit", referrerPolicy: "no-referrer", mode: "cors" },
  waitUntil: null,
});
