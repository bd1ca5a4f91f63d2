import type { Signatures } from "./core.js";

/** The host's `crypto.subtle`. */
export const WEB_CRYPTO: Signatures = {
  name: "webcrypto",
  // A page that is not a secure context has none.
  isHere: () => globalThis.crypto?.subtle !== undefined,
  async importKey({ jwk, import: algorithm, verify }) {
    const { subtle } = globalThis.crypto;
    try {
      const key = await subtle.importKey("jwk", jwk, algorithm, false, ["verify"]);
      return (signature, message) => subtle.verify(verify, key, signature, message);
    } catch (error) {
      return error as Error;
    }
  },
};
