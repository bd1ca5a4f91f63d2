// What the hosts' own modules export, as far as it is used here.
declare module "node:fs" {
  export function readFileSync(path: URL): Uint8Array<ArrayBuffer>;
}

declare module "node:crypto" {
  export const constants: { readonly RSA_PKCS1_PADDING: number; readonly RSA_PKCS1_PSS_PADDING: number };
  export interface KeyObject {
    readonly type: string;
  }
  export function createPublicKey(from: { key: JsonWebKey; format: "jwk" }): KeyObject;
  export interface VerifyOptions {
    key: KeyObject;
    dsaEncoding: "ieee-p1363";
    padding?: number;
    saltLength?: number | undefined;
  }
  export function verify(digest: string | null, message: Uint8Array, options: VerifyOptions, signature: Uint8Array): boolean;
  export function verify(
    digest: string | null,
    message: Uint8Array,
    options: VerifyOptions,
    signature: Uint8Array,
    callback: (error: Error | null, valid: boolean) => void,
  ): void;
}

interface ErrorConstructor {
  /** V8's. */
  stackTraceLimit?: number;
}

declare const process: { readonly versions: Record<string, string | undefined> };

declare module "cloudflare:workers" {
  /** Absent in old versions of workerd. */
  export const waitUntil: ((work: Promise<unknown>) => void) | undefined;
}

declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
