// What the hosts' own modules export, as far as it is used here.
declare module "node:fs" {
  export function readFileSync(path: URL): Uint8Array<ArrayBuffer>;
}

declare module "cloudflare:workers" {
  /** Absent in old versions of workerd. */
  export const waitUntil: ((work: Promise<unknown>) => void) | undefined;
}

declare module "*.wasm" {
  const module: WebAssembly.Module;
  export default module;
}
