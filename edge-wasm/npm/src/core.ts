// The other side of `edge-wasm/src/npm.rs`.
import { InternalError, type Refusal } from "./errors.js";

/** A document that the WebAssembly asks for. */
export interface Fetch {
  id: number;
  url: string;
  etag: string | null;
}

/** How to ask WebCrypto for the signatures of one key. */
export interface KeyImport {
  jwk: JsonWebKey;
  import: SubtleAlgorithm;
  verify: SubtleAlgorithm;
}

/** An algorithm of WebCrypto: the members that those of Edgeseal have. */
export interface SubtleAlgorithm {
  name: string;
  namedCurve?: string;
  hash?: string;
  saltLength?: number;
}

/** Verifies signatures of one key. The octets may be the WebAssembly's own: they are copied or read before it returns. */
export type VerifyKey = (signature: Uint8Array<ArrayBuffer>, message: Uint8Array<ArrayBuffer>) => boolean | Promise<boolean>;

/** The host's own cryptography. */
export interface Signatures {
  name: "webcrypto" | "node-crypto";
  isHere(): boolean;
  /** The key, ready to verify; or why the host does not take it: an algorithm or a size that it does not have. */
  importKey(told: KeyImport, backend: string): Promise<VerifyKey | Error>;
}

/** What is rare comes as JSON text. */
export type Reply =
  | ["refused", refusal: Refusal]
  | ["inspected", inspection: unknown]
  | ["import", key: KeyImport]
  | ["verified"]
  | ["unsupported"];

/** The kinds of a step's reply; `npm.rs` says what the eight numbers beside each mean. */
export const VERIFIED = 0;
export const SIGNATURE = 1;
export const REFUSED = 2;
export const SIGNATURE_INVALID = 3;
export const FETCH = 4;
export const WAIT = 5;
export const UNSUPPORTED = 6;
export const FORGOTTEN = 7;

/** The verifier of one `createVerifier`, inside the WebAssembly. Times are in milliseconds. */
export interface Core {
  reply(): number;
  verify(length: number, nonce: string | undefined, now: number): number;
  authorize(length: number, nonce: string | undefined, now: number): number;
  finish(id: number, valid: boolean, now: number): number;
  decline(id: number, now: number): number;
  keyImport(id: number): string | undefined;
  takeRefresh(): string | undefined;
  fetched(
    id: number,
    status: number,
    body: Uint8Array,
    cacheControl: string,
    age: number,
    etag: string | undefined,
    now: number,
  ): string | undefined;
  exportState(): string;
  restore(snapshot: string, now: number): string | undefined;
  stats(): string;
}

/** The exports of the WebAssembly's glue that the face uses. */
export interface Wasm {
  Core: new (settings: string, hasWebCrypto: boolean, seed: number) => Core;
  keysUnavailable(detail: string, now: number): string;
  tokenMissing(detail: string): string;
  claimsRefused(detail: string): string;
  signatureInvalid(): string;
  verifySignature(
    algorithm: string,
    jwk: string,
    message: Uint8Array,
    signature: Uint8Array,
    backend: string,
    hasWebCrypto: boolean,
  ): string;
  inspectJwks(text: string): string;
  inspectToken(text: string): string;
  renew(end: boolean): void;
}

/** The glue as it is imported. */
export interface Glue extends Wasm {
  default(from: { module_or_path: URL }): Promise<unknown>;
  /** The exports: those of the instance that is there already, if one is. */
  initSync(from: { module: BufferSource | WebAssembly.Module }): { memory: WebAssembly.Memory };
}

/**
 * The WebAssembly, ready, that all verifiers of a host share. After a trap nothing in its memory is to be believed: the next call is
 * one of a new instance of the same module.
 */
export class Instance {
  readonly #glue: Glue;
  /** Counts the instances. */
  number = 0;

  constructor(glue: Glue) {
    this.#glue = glue;
  }

  /** Of the instance that answered the last call. */
  get memory(): WebAssembly.Memory {
    return this.#glue.initSync({ module: new Uint8Array(0) }).memory;
  }

  /**
   * Calls the WebAssembly.
   *
   * @throws {InternalError} when it traps.
   */
  run<T>(call: (wasm: Wasm) => T): T {
    try {
      return call(this.#glue);
    } catch (thrown) {
      // Texts are the WebAssembly's own, a TypeError is the glue's about an argument. A trap, or a stack that overflowed, is neither.
      if (typeof thrown === "string" || thrown instanceof TypeError) throw thrown;
      this.number += 1;
      this.#glue.renew(true);
      this.#glue.renew(false);
      throw new InternalError(thrown);
    }
  }
}

/** What differs between workerd, browsers and Node. */
export interface Host {
  /** The WebAssembly: at once where the host can, once for all verifiers. */
  load(): Instance | Promise<Instance>;
  /** Who verifies what the WebAssembly does not verify itself. */
  signatures: Signatures;
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

const encoder = new TextEncoder();
// A byte order mark stays what it is: no claims begin with one.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The memory that a verifier shares with its `Core`. Its views are made anew when the memory has grown. */
export class Wire {
  readonly #memory: WebAssembly.Memory;
  readonly #inputAt: number;
  readonly #inputLength: number;
  readonly #replyAt: number;
  #input: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #reply: Uint32Array = new Uint32Array(0);

  constructor(memory: WebAssembly.Memory, core: Core) {
    this.#memory = memory;
    this.#replyAt = core.reply();
    // Before the first reply.
    this.#inputAt = this.number(0);
    this.#inputLength = this.number(1);
  }

  /** Writes a text and returns its length in octets. One that has no room is not looked at: its length is enough to refuse it. */
  write(text: string): number {
    if (this.#input.length === 0) this.#input = this.bytes(this.#inputAt, this.#inputLength);
    const input = this.#input;
    if (text.length > input.length) return text.length;
    const { read, written } = encoder.encodeInto(text, input);
    return read < text.length ? input.length + 1 : written;
  }

  /** A number of the last reply. */
  number(index: number): number {
    if (this.#reply.length === 0) this.#reply = new Uint32Array(this.#memory.buffer as ArrayBuffer, this.#replyAt, 8);
    return this.#reply[index] as number;
  }

  /** The text whose address and length are these numbers of the last reply. */
  text(index: number): string {
    return decoder.decode(this.view(index));
  }

  /** The octets whose address and length are these numbers of the last reply: to be used at once, they are the WebAssembly's. */
  view(index: number): Uint8Array<ArrayBuffer> {
    return this.bytes(this.number(index), this.number(index + 1));
  }

  /** The WebAssembly's octets from an address on. */
  bytes(at: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#memory.buffer as ArrayBuffer, at, length);
  }
}
