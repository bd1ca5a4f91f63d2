import { constants, createPublicKey, verify } from "node:crypto";

import type { KeyImport, Signatures } from "./core.js";
import { WEB_CRYPTO } from "./subtle.js";

/**
 * Node's own OpenSSL, without the way through a thread where that takes longer than a verification: RS256 in 45 us instead of
 * 160. ES384, ES512 and EdDSA take longer: they go to a thread, where they hold up nobody. The same library and the same checks
 * as its `crypto.subtle`, which `backend: "webcrypto"` still asks for.
 *
 * RSA and P-256 stay here while they come one by one, and go to the threads as well when many are asked for at once, which is when
 * there is something to do meanwhile.
 */
export const NODE_CRYPTO: Signatures = {
  name: "node-crypto",
  isHere: () => true,
  async importKey(told, backend) {
    if (backend === "webcrypto") return WEB_CRYPTO.importKey(told, backend);
    try {
      return verifierOf(told);
    } catch (error) {
      return error as Error;
    }
  },
};

function verifierOf({ jwk, import: algorithm, verify: parameters }: KeyImport) {
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const { name, hash, saltLength } = { ...algorithm, ...parameters };
  const options = {
    key,
    dsaEncoding: "ieee-p1363" as const,
    ...(name === "RSASSA-PKCS1-v1_5" && { padding: constants.RSA_PKCS1_PADDING }),
    ...(name === "RSA-PSS" && { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }),
  };
  // Ed25519 has its hash inside.
  const digest = hash?.replace("-", "").toLowerCase() ?? null;
  const isLong = !name.startsWith("RSA") && algorithm.namedCurve !== "P-256";
  return (signature: Uint8Array, message: Uint8Array): boolean | Promise<boolean> => {
    if (!isLong && !isCrowded()) return verify(digest, message, options, signature);
    return new Promise<boolean>((resolve, reject) => {
      // Node copies the octets before this returns.
      verify(digest, message, options, signature, (error, valid) => (error === null ? resolve(valid) : reject(error)));
    });
  };
}

/** Verifications that were asked for without anything else in between, no promise's continuation either. */
let together = 0;
/** So many of them stay on this thread. */
const MOST_HERE = 4;

function isCrowded(): boolean {
  together += 1;
  if (together === 1) {
    queueMicrotask(() => {
      together = 0;
    });
  }
  return together > MOST_HERE;
}
