import * as wasm from "../wasm/edge.js";
import { bindBrowser } from "./on-browser.js";

export { ConfigurationError, InternalError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bindBrowser(
  wasm,
  () => new URL("../wasm/edge_bg.wasm", import.meta.url),
);
