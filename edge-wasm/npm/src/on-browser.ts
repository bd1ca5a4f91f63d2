import { bind } from "./bind.js";
import { Instance, type Glue } from "./core.js";
import { WEB_CRYPTO } from "./subtle.js";

/** The package's functions in a browser, over one of the two modules. */
export function bindBrowser(wasm: Glue, url: () => URL) {
  let loading: Promise<Instance> | undefined;
  return bind({
    load() {
      loading ??= wasm.default({ module_or_path: url() }).then(
        () => new Instance(wasm),
        (error: unknown) => {
          // A network that was down may be up the next time.
          loading = undefined;
          throw error;
        },
      );
      return loading;
    },
    signatures: WEB_CRYPTO,
    conditionalRequests: false,
    // The browser's own cache revalidates; neither cookies nor the page's address go to the issuer.
    requestInit: { cache: "no-cache", credentials: "omit", referrerPolicy: "no-referrer", mode: "cors" },
    waitUntil: null,
  });
}
