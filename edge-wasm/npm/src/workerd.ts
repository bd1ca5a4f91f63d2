// workerd compiles a module when it is uploaded and refuses to compile bytes later.
import module from "../wasm/edge_bg.wasm";
import * as wasm from "../wasm/edge.js";
import { bindWorkerd } from "./on-workerd.js";

export { ConfigurationError, InternalError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS } from "./names.js";

export const { createVerifier, verifySignature, inspectJwks, inspectToken } = bindWorkerd(wasm, module);
