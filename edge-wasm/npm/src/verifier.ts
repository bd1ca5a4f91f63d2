import { parseReply, type Core, type Fetch, type Host, type Reply, type Wasm } from "./core.js";
import { ConfigurationError, VerifyError, type Refusal } from "./errors.js";
import { fetchDocument } from "./fetch.js";
import { configurationError, settingsText } from "./settings.js";
import type { Claims, Header, RequestLike, Verified, Verifier, VerifierOptions, VerifierStats } from "./types.js";

/** Milliseconds that one document may take, and that discovery and JWK Set may take together. */
const FETCH_TIMEOUT = 3_000;
const FETCH_BUDGET = 4_500;
/** Milliseconds for which a caller waits for keys: two leases of the cache. */
const PATIENCE = 10_000;
/** Milliseconds between two looks at a fetch that another caller has begun. */
const FIRST_PAUSE = 5;
const LONGEST_PAUSE = 100;
/** Characters of a token that go to the WebAssembly at most: more than it accepts, so that it is it who refuses. */
const TOKEN_CUT = 16 * 1024 + 1;

export class EdgeVerifier implements Verifier {
  readonly #host: Host;
  readonly #fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly #clock: () => number;
  #wasm: Wasm | undefined;
  #core: Core | undefined;
  readonly #ready: Promise<void> | undefined;

  constructor(host: Host, options: VerifierOptions) {
    const settings = settingsText(options);
    this.#host = host;
    // Looked up at each call, so that a global fetch that is replaced later (a test, an instrumentation) is the one used.
    this.#fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
    this.#clock = options.clock ?? (() => Date.now() / 1_000);
    const open = (wasm: Wasm) => {
      this.#core = openCore(wasm, settings);
      this.#wasm = wasm;
    };
    const wasm = host.load();
    if (wasm instanceof Promise) {
      this.#ready = wasm.then(open);
      // Whoever calls verify hears of it.
      this.#ready.catch(() => {});
    } else {
      open(wasm);
    }
  }

  async verify<C extends object = Claims>(token: string | RequestLike | null | undefined): Promise<Verified<C>> {
    if (this.#core === undefined) await this.#ready;
    const core = this.#core as Core;
    const wasm = this.#wasm as Wasm;
    const step = this.#stepper(core, wasm, token);
    let pause = FIRST_PAUSE;
    let patience = PATIENCE;
    for (;;) {
      const reply = step(this.#now());
      switch (reply[0]) {
        case "verified":
          await this.#refresh(core, reply[3]);
          return { header: reply[1] as Header, claims: reply[2] as C };
        case "refused":
          await this.#refresh(core, reply[2]);
          throw new VerifyError(reply[1]);
        case "fetch": {
          const begun = performance.now();
          await this.#carryOut(core, reply[1]);
          patience -= performance.now() - begun;
          break;
        }
        default:
          // A promise shared between requests would break on Workers: each caller looks again for itself.
          await new Promise((resolve) => setTimeout(resolve, pause));
          patience -= pause;
          pause = Math.min(pause * 2, LONGEST_PAUSE);
      }
      if (patience <= 0) throw refusal(wasm.keysUnavailable("the keys did not come in time", this.#now()));
    }
  }

  stats(): VerifierStats {
    if (this.#core === undefined) return { backend: "rustcrypto", issuers: [] };
    return JSON.parse(this.#core.stats()) as VerifierStats;
  }

  #stepper(core: Core, wasm: Wasm, token: string | RequestLike | null | undefined): (now: number) => Reply {
    if (typeof token === "string") {
      const cut = token.length > TOKEN_CUT ? token.slice(0, TOKEN_CUT) : token;
      return (now) => parseReply(core.verify(cut, now));
    }
    if (token === undefined || token === null) return () => parseReply(wasm.tokenMissing("no token was given"));
    if (typeof token === "object" && typeof token.headers?.get === "function") {
      const authorization = token.headers.get("authorization") ?? "";
      return (now) => parseReply(core.authorize(authorization, now));
    }
    throw new TypeError("verify takes a compact token or a Request");
  }

  #now(): number {
    const seconds = this.#clock();
    if (!Number.isFinite(seconds) || seconds < 0) {
      throw new ConfigurationError("clock", `clock: must return seconds since 1970, returned ${seconds}`);
    }
    return seconds * 1_000;
  }

  async #refresh(core: Core, fetch: Fetch | null): Promise<void> {
    if (fetch === null) return;
    const work = this.#carryOut(core, fetch);
    const { waitUntil } = this.#host;
    if (waitUntil === undefined) await work;
    else waitUntil?.(work);
  }

  /** Never rejects for what a server does: the cache inside the WebAssembly is told, and the next step says what follows. */
  async #carryOut(core: Core, first: Fetch): Promise<void> {
    const { conditionalRequests, requestInit } = this.#host;
    const deadline = performance.now() + FETCH_BUDGET;
    for (let fetch: Fetch | undefined = first; fetch !== undefined; ) {
      const { id, url, etag }: Fetch = fetch;
      const within = Math.min(FETCH_TIMEOUT, deadline - performance.now());
      try {
        const document = await fetchDocument(this.#fetch, url, conditionalRequests ? etag : null, requestInit, within);
        const { status, body, cacheControl } = document;
        const next = core.fetched(id, status, body, cacheControl, document.etag, this.#now());
        fetch = next === undefined ? undefined : (JSON.parse(next) as Fetch);
      } catch (error) {
        core.failed(id, this.#now());
        return;
      }
    }
  }
}

/** The error of a reply that refuses. */
export function refusal(text: string): VerifyError {
  return new VerifyError(parseReply(text)[1] as Refusal);
}

function openCore(wasm: Wasm, settings: string): Core {
  try {
    return new wasm.Core(settings, Math.random());
  } catch (thrown) {
    if (typeof thrown !== "string") throw thrown;
    const told: Reply | { setting: string; message: string } = JSON.parse(thrown);
    if (Array.isArray(told)) throw refusal(thrown);
    throw configurationError(told.setting, told.message);
  }
}
