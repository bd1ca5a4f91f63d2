import module from "../wasm/full_bg.wasm";
import * as wasm from "../wasm/full.js";
import { bindWorkerd } from "./on-workerd.js";

export { ConfigurationError, InternalError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bindWorkerd(wasm, module);
