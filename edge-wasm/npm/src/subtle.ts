import type { KeyImport } from "./core.js";

/** Verifies signatures of one key. The octets may be the WebAssembly's own: WebCrypto copies them before it returns. */
export type VerifyKey = (signature: Uint8Array<ArrayBuffer>, message: Uint8Array<ArrayBuffer>) => Promise<boolean>;

/** A page that is not a secure context has none. */
export function hasWebCrypto(): boolean {
  return globalThis.crypto?.subtle !== undefined;
}

/** The key inside WebCrypto, or why it does not take it: an algorithm or a size that the host does not have. */
export async function importKey({ jwk, import: algorithm, verify }: KeyImport): Promise<VerifyKey | Error> {
  const { subtle } = globalThis.crypto;
  try {
    const key = await subtle.importKey("jwk", jwk, algorithm, false, ["verify"]);
    return (signature, message) => subtle.verify(verify, key, signature, message);
  } catch (error) {
    return error as Error;
  }
}
