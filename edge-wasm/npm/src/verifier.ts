import {
  FETCH,
  FORGOTTEN,
  REFUSED,
  SIGNATURE,
  SIGNATURE_INVALID,
  UNSUPPORTED,
  VERIFIED,
  WAIT,
  Wire,
  parseReply,
  type Core,
  type Fetch,
  type Host,
  type Instance,
  type Reply,
  type VerifyKey,
} from "./core.js";
import { ConfigurationError, VerifyError, signatureInvalid, type Refusal } from "./errors.js";
import { fetchDocument } from "./fetch.js";
import { applySchema, type StandardSchema } from "./schema.js";
import { configurationError, demandVerifyOptions, settingsText, snapshots } from "./settings.js";
import type { Backend, Claims, Header, RequestLike, Token, Verified, Verifier, VerifierOptions, VerifierStats, VerifyOptions } from "./types.js";

/** Milliseconds that one document may take, and that discovery and JWK Set may take together. */
const FETCH_TIMEOUT = 3_000;
const FETCH_BUDGET = 4_500;
/** Milliseconds for which a caller waits for keys, or begins again: two leases of the cache. */
const PATIENCE = 10_000;
/** Milliseconds between two looks at a fetch that another caller has begun. */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 100;
/** Imported keys and headers that are kept: those of several full sets. */
const MAX_KEYS = 1_024;
const MAX_HEADERS = 256;
/** The last second of the year 9999, as for every `NumericDate`. */
const MAX_NOW = 253_402_300_799;

export class EdgeVerifier<C extends object = Claims> implements Verifier<C> {
  readonly #host: Host;
  readonly #fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly #clock: () => number;
  readonly #backend: Backend;
  readonly #settings: string;
  readonly #schema: StandardSchema<object> | undefined;
  #instance: Instance | undefined;
  #inside: Inside | undefined;
  /** The key sets that a new instance begins with. */
  #state: string[];
  #stateRefused: string[] | undefined;

  constructor(host: Host, options: VerifierOptions<C>) {
    this.#settings = settingsText(options);
    this.#schema = options.schema;
    this.#host = host;
    // Looked up at each call, so that a global fetch that is replaced later (a test, an instrumentation) is the one used.
    this.#fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
    this.#clock = options.clock ?? (() => Date.now() / 1_000);
    this.#backend = options.backend ?? "auto";
    this.#state = snapshots(options.state);
    // Whoever calls verify hears of it, or has it loaded then.
    this.#load()?.catch(() => {});
  }

  #load(): Promise<void> | undefined {
    const begin = (instance: Instance) => {
      this.#instance = instance;
      this.#current();
    };
    const loaded = this.#host.load();
    if (loaded instanceof Promise) return loaded.then(begin);
    begin(loaded);
    return undefined;
  }

  /** What this verifier has in the instance that is there now: in a new one, the settings and the keys that were fetched. */
  #current(): Inside {
    const inside = this.#inside?.isCurrent ? this.#inside : new Inside(this.#host, this.#instance as Instance, this.#settings);
    this.#inside = inside;
    if (inside.hasState) return inside;
    const now = this.#state.length === 0 ? 1 : this.#now();
    // In workerd no time passes before the first request: what would come from the future then is for later.
    if (now === 0) return inside;
    const refused = this.#state.map((snapshot) => inside.call((core) => core.restore(snapshot, now)));
    this.#stateRefused ??= refused.filter((reason) => reason !== undefined);
    inside.hasState = true;
    return inside;
  }

  verify(token: Token, options?: VerifyOptions & { schema?: undefined }): Promise<Verified<C>>;
  verify<D extends object>(token: Token, options?: VerifyOptions<D>): Promise<Verified<D>>;
  async verify(token: Token, options?: VerifyOptions<object>): Promise<Verified<object>> {
    if (options !== undefined) demandVerifyOptions(options);
    const schema = options?.schema ?? this.#schema;
    if (this.#instance === undefined) await this.#load();
    const instance = this.#instance as Instance;
    const isToken = typeof token === "string";
    const text = isToken ? token : authorization(instance, token);
    let now = this.#now();
    let refresh: string | undefined;
    let before: Inside | undefined;
    let pause = FIRST_PAUSE;
    let deadline: number | undefined;
    for (;;) {
      const inside = this.#current();
      // In a new instance the number of a fetch is another one's, perhaps of another issuer.
      if (inside !== before) refresh = undefined;
      before = inside;
      const { wire } = inside;
      const length = wire.write(text);
      const nonce = options?.nonce;
      let kind = inside.call((core) => (isToken ? core.verify(length, nonce, now) : core.authorize(length, nonce, now)));
      // Where in the text the token begins.
      const start = wire.number(7);
      let declined: Error | undefined;
      while (kind === SIGNATURE) {
        const id = wire.number(0);
        const number = wire.number(1);
        if (wire.number(6) === 1) refresh = inside.takeRefresh();
        let message = wire.view(2);
        let signature = wire.view(4);
        let key = inside.keys.get(number);
        if (key === undefined) {
          // The octets stay where they are while the token waits; views do not survive when the memory grows.
          const messageAt = message.byteOffset;
          const signatureAt = signature.byteOffset;
          const [messageLength, signatureLength] = [message.length, signature.length];
          key = await this.#importKey(inside, id, number);
          message = wire.bytes(messageAt, messageLength);
          signature = wire.bytes(signatureAt, signatureLength);
        }
        let valid: boolean | undefined;
        if (key instanceof Error) {
          declined = key;
        } else {
          try {
            const answer = key(signature, message);
            valid = typeof answer === "boolean" ? answer : await answer;
          } catch (error) {
            declined = error as Error;
          }
        }
        // Another token made it trap meanwhile: begun again in the new one.
        if (!inside.isCurrent) kind = FORGOTTEN;
        else kind = inside.call((core) => (valid === undefined ? core.decline(id, now) : core.finish(id, valid, now)));
      }
      switch (kind) {
        case VERIFIED: {
          const claims = JSON.parse(wire.text(0)) as object;
          const header = inside.header(text, start);
          const verified = wire.number(6) === 0 ? { header } : { header, disclosed: JSON.parse(wire.text(5)) as string[] };
          if (wire.number(4) === 1) refresh = inside.takeRefresh();
          if (refresh !== undefined) await this.#refresh(inside, refresh);
          if (schema === undefined) return { ...verified, claims };
          const refuse = (detail: string) => refusal(instance.run((wasm) => wasm.claimsRefused(detail)));
          return { ...verified, claims: await applySchema(schema, claims, refuse) };
        }
        case REFUSED:
        case SIGNATURE_INVALID: {
          const refused = inside.refusal(kind);
          const error = kind === SIGNATURE_INVALID ? signatureInvalid(refused) : new VerifyError(refused);
          if (wire.number(4) === 1) refresh = inside.takeRefresh();
          if (refresh !== undefined) await this.#refresh(inside, refresh);
          throw error;
        }
        case FETCH: {
          deadline ??= performance.now() + PATIENCE;
          const work = this.#carryOut(inside, JSON.parse(wire.text(0)) as Fetch);
          // Others wait for these keys, too: a client that leaves must not end it.
          this.#host.waitUntil?.(work.catch(() => {}));
          await work;
          break;
        }
        // Too many others waited for the host's cryptography at once, and would again.
        case FORGOTTEN:
        case WAIT:
          // A promise shared between requests would break on Workers: each caller looks again for itself.
          deadline ??= performance.now() + PATIENCE;
          await new Promise((resolve) => setTimeout(resolve, pause));
          pause = Math.min(pause * 2, LONGEST_PAUSE);
          break;
        case UNSUPPORTED: {
          const error = unsupported(wire.text(0), this.#backend, declined);
          if (refresh !== undefined) await this.#refresh(inside, refresh);
          throw error;
        }
      }
      now = this.#now();
      if (performance.now() >= (deadline as number)) {
        if (refresh !== undefined) await this.#refresh(inside, refresh);
        const reason = kind === FORGOTTEN ? "too many tokens wait for the host's cryptography" : "the keys did not come in time";
        throw refusal(instance.run((wasm) => wasm.keysUnavailable(reason, now)));
      }
    }
  }

  stats(): VerifierStats {
    const { name } = this.#host.signatures;
    const verifications = { "p256-tables": 0, webcrypto: 0, "node-crypto": 0, rustcrypto: 0, "rsa-montgomery": 0 };
    if (this.#inside === undefined) {
      const tokenCache = { hits: 0, tokens: 0, bytes: 0 };
      return { backend: this.#backend, verifications, hotKeys: 0, tokenCache, stateRefused: [], issuers: [] };
    }
    const stats = JSON.parse(this.#current().call((core) => core.stats())) as VerifierStats;
    // The WebAssembly counts what the host verified, whoever that was.
    const { webcrypto: byHost, ...others } = stats.verifications;
    const host = this.#backend === "webcrypto" ? "webcrypto" : name;
    return { ...stats, stateRefused: [...(this.#stateRefused ?? [])], verifications: { ...verifications, ...others, [host]: byHost } };
  }

  exportState(): string {
    const inside = this.#inside && this.#current();
    return inside?.hasState ? inside.call((core) => core.exportState()) : JSON.stringify(this.#state);
  }

  async #importKey(inside: Inside, id: number, number: number): Promise<VerifyKey | Error> {
    const told = inside.call((core) => core.keyImport(id));
    // A token that was forgotten meanwhile begins again.
    if (told === undefined) return new Error("forgotten");
    const key = await this.#host.signatures.importKey(JSON.parse(told), this.#backend);
    if (inside.keys.size === MAX_KEYS) inside.keys.clear();
    inside.keys.set(number, key);
    return key;
  }

  #now(): number {
    const seconds = this.#clock();
    // By milliseconds every token would have expired.
    if (!Number.isFinite(seconds) || seconds < 0 || seconds > MAX_NOW) {
      throw new ConfigurationError("clock", `clock: must return seconds since 1970, returned ${seconds}`);
    }
    return seconds * 1_000;
  }

  async #refresh(inside: Inside, fetch: string): Promise<void> {
    // It rejects for a clock that broke meanwhile alone: nobody waits for it, and the next call meets the same.
    const work = this.#carryOut(inside, JSON.parse(fetch) as Fetch).catch(() => {});
    const { waitUntil } = this.#host;
    if (waitUntil === undefined) await work;
    else waitUntil?.(work);
  }

  /** Never rejects for what a server does: the cache inside the WebAssembly is told, and the next step says what follows. */
  async #carryOut(inside: Inside, first: Fetch): Promise<void> {
    const { conditionalRequests, requestInit } = this.#host;
    const deadline = performance.now() + FETCH_BUDGET;
    for (let fetch: Fetch | undefined = first; fetch !== undefined; ) {
      const { id, url, etag: known }: Fetch = fetch;
      const within = Math.min(FETCH_TIMEOUT, deadline - performance.now());
      const document = await fetchDocument(this.#fetch, url, conditionalRequests ? known : null, requestInit, within);
      // Nobody waits for it in a new instance, which fetches for itself.
      if (!inside.isCurrent) return;
      const { status, body, cacheControl, age, etag } = document;
      const now = this.#now();
      const next: string | undefined = inside.call((core) => core.fetched(id, status, body, cacheControl, age, etag, now));
      fetch = next === undefined ? undefined : (JSON.parse(next) as Fetch);
      if (fetch === undefined) this.#state = snapshots(inside.call((core) => core.exportState()));
    }
  }
}

/** The error of a reply that refuses. */
export function refusal(text: string): VerifyError {
  return new VerifyError(parseReply(text)[1] as Refusal);
}

/** The error for an algorithm or a key that no backend of this build and host serves. */
export function unsupported(algorithm: string, backend: string, reason: Error | undefined): ConfigurationError {
  const why = reason === undefined ? "no backend here serves it" : `WebCrypto says ${reason.name}: ${reason.message}`;
  const mend = backend === "auto" ? "import edgeseal/reference" : "choose the backend auto of edgeseal/reference";
  return new ConfigurationError("algorithms", `algorithms: this key of ${algorithm} cannot be verified with, ${why}; ${mend}`);
}

/** A verifier's part of one instance of the WebAssembly, and what is known by its numbers and texts. */
class Inside {
  readonly wire: Wire;
  /** What WebCrypto made of a key, by the number that the WebAssembly gave it; or why it does not take it. */
  readonly keys = new Map<number, VerifyKey | Error>();
  /** Whether it has been given the key sets that it begins with. */
  hasState = false;
  readonly #instance: Instance;
  readonly #number: number;
  readonly #core: Core;
  /** The headers of verified tokens, by their encoded text. */
  readonly #headers = new Map<string, Header>();
  #signatureInvalid: Refusal | undefined;

  constructor({ signatures }: Host, instance: Instance, settings: string) {
    this.#instance = instance;
    this.#number = instance.number;
    try {
      this.#core = instance.run((wasm) => new wasm.Core(settings, signatures.isHere(), Math.random()));
    } catch (thrown) {
      if (typeof thrown !== "string") throw thrown;
      const told: Reply | { setting: string; message: string } = JSON.parse(thrown);
      if (Array.isArray(told)) throw refusal(thrown);
      throw configurationError(told.setting, told.message);
    }
    this.wire = this.call((core) => new Wire(instance.memory, core));
  }

  /** Whether it is still the instance that answers. */
  get isCurrent(): boolean {
    return this.#number === this.#instance.number;
  }

  call<T>(what: (core: Core) => T): T {
    return this.#instance.run(() => what(this.#core));
  }

  takeRefresh(): string | undefined {
    return this.call((core) => core.takeRefresh());
  }

  /** A fresh object for each caller. The text of a verified token is ASCII, so its header is found in it without WebAssembly. */
  header(text: string, start: number): Header {
    const encoded = text.slice(start, text.indexOf(".", start));
    const known = this.#headers.get(encoded);
    if (known !== undefined) return { ...known };
    const header = JSON.parse(this.wire.text(2)) as Header;
    if (Object.values(header).every((value) => typeof value !== "object" || value === null)) {
      if (this.#headers.size === MAX_HEADERS) this.#headers.clear();
      this.#headers.set(encoded, { ...header });
    }
    return header;
  }

  /** The refusal of the last reply; one for a signature is always the same. */
  refusal(kind: number): Refusal {
    if (kind !== SIGNATURE_INVALID) return parseReply(this.wire.text(0))[1] as Refusal;
    this.#signatureInvalid ??= parseReply(this.wire.text(0))[1] as Refusal;
    return this.#signatureInvalid;
  }
}

function authorization(instance: Instance, request: RequestLike | null | undefined): string {
  if (request === undefined || request === null) {
    throw refusal(instance.run((wasm) => wasm.tokenMissing("no token was given")));
  }
  if (typeof request === "object" && typeof request.headers?.get === "function") {
    const value: unknown = request.headers.get("authorization");
    if (typeof value === "string") return value;
    if (value === null || value === undefined) throw refusal(instance.run((wasm) => wasm.tokenMissing("the request has no Authorization field")));
  }
  throw new TypeError("verify takes a compact token or a Request; for Express and node:http there is edgeseal/express");
}
