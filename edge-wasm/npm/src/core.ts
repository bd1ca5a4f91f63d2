// The other side of `edge-wasm/src/npm.rs`.
import type { Refusal } from "./errors.js";

/** A document that the WebAssembly asks for. */
export interface Fetch {
  id: number;
  url: string;
  etag: string | null;
}

/** What one step of a verification says. `refresh` is to be fetched off the request path. */
export type Reply =
  | ["verified", header: object, claims: object, refresh: Fetch | null]
  | ["refused", refusal: Refusal, refresh: Fetch | null]
  | ["fetch", fetch: Fetch]
  | ["wait"]
  | ["inspected", inspection: unknown];

/** The verifier of one `createVerifier`, inside the WebAssembly. Times are in milliseconds. */
export interface Core {
  verify(token: string, now: number): string;
  authorize(authorization: string, now: number): string;
  fetched(
    id: number,
    status: number,
    body: Uint8Array,
    cacheControl: string,
    etag: string | undefined,
    now: number,
  ): string | undefined;
  failed(id: number, now: number): void;
  stats(): string;
}

/** The exports of the WebAssembly's glue that the face uses. */
export interface Wasm {
  Core: new (settings: string, seed: number) => Core;
  keysUnavailable(detail: string, now: number): string;
  tokenMissing(detail: string): string;
  verifySignature(algorithm: string, jwk: string, message: Uint8Array, signature: Uint8Array): string;
  inspectJwks(text: string): string;
  inspectToken(text: string): string;
}

/** What differs between workerd, browsers and Node. */
export interface Host {
  /** The WebAssembly: at once where the host can, once for all verifiers. */
  load(): Wasm | Promise<Wasm>;
  /** Sends `If-None-Match` itself. A browser's HTTP cache does so, and from a script it would cost a CORS preflight. */
  conditionalRequests: boolean;
  /** What the host's `fetch` takes beyond the common members. */
  requestInit: RequestInit;
  /** Keeps work alive after the response; where the host has no such thing, `null` lets it run, `undefined` awaits it. */
  waitUntil: ((work: Promise<unknown>) => void) | null | undefined;
}

export function parseReply(text: string): Reply {
  return JSON.parse(text) as Reply;
}
