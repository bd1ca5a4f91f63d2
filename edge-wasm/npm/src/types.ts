import type { Algorithm } from "./names.js";
import type { StandardSchema } from "./schema.js";

/** One issuer whose tokens are accepted. Issuer, audience and algorithms must be named. */
export interface IssuerOptions {
  /** The exact `iss` of its tokens. Absent only with `dangerous.skipIssuer`. */
  issuer?: string | null;
  /** The `aud` that means this service, or several. Absent only with `dangerous.skipAudience`. */
  audience?: string | readonly string[] | null;
  /** The algorithms its tokens may be signed with. Never `none`, never HMAC. */
  algorithms: readonly Algorithm[];
  /** Where its JWK Set is: `https`, or `http` to a loopback host. Found by discovery when neither this nor `jwks` is given. */
  jwksUri?: string;
  /** Its JWK Set, as an object or as JSON text. */
  jwks?: string | JwkSet;
  /** The `typ` its tokens must have, such as `at+jwt`. */
  typ?: string | null;
  /** Seconds of clock difference to forgive: 60 unless given, at most 300. */
  leeway?: number;
  /** Seconds from `iat` to `exp` at most. */
  maxLifetime?: number;
  /** Seconds since `iat` at most. */
  maxAge?: number;
  /** The claim that names the audience: `aud` unless given; `client_id` for issuers whose access tokens have no `aud`. */
  audienceClaim?: string;
  /** Claims that must be there, whatever they say. */
  requiredClaims?: readonly string[];
  /** Only keys that name their expiry (`exp` in the JWK) verify. */
  requireKeyExp?: boolean;
  /** Accepts presentations of SD-JWTs (RFC 9901). */
  sdJwt?: SdJwtOptions;
  /** What makes a verifier accept what it should not. */
  dangerous?: DangerousOptions;
}

/** Which presentations of SD-JWTs are accepted. */
export interface SdJwtOptions {
  /**
   * Which presentations must prove that the holder made them: every one (`"required"`), or those of tokens that are bound to a key
   * by `cnf` (`"where_bound"`). The proof names one of `audience`, and the nonce given to `verify`.
   */
  keyBinding: "required" | "where_bound";
  /** The algorithms of key-binding JWTs: `algorithms` unless given. */
  algorithms?: readonly Algorithm[];
  /** Seconds that a key-binding JWT is good for: 60 unless given. */
  maxAge?: number;
  /** Accepts plain tokens too. */
  allowPlain?: boolean;
}

/** Opt-outs, each for callers who check the same thing elsewhere. */
export interface DangerousOptions {
  /** Accepts any issuer, or none. */
  skipIssuer?: boolean;
  /** Accepts tokens that were made for somebody else. */
  skipAudience?: boolean;
  /** Accepts tokens that never expire. */
  allowMissingExp?: boolean;
  /** Accepts RSA keys with the public exponent 3. */
  allowRsaExponent3?: boolean;
  /** Accepts key binding of SD-JWTs where `verify` was given no nonce: a presentation can be replayed. */
  skipNonce?: boolean;
}

/** The numbers of the key cache, in seconds. */
export interface CacheOptions {
  /** How long keys are fresh when the server names no `max-age`: 600. */
  freshDefault?: number;
  /** The least time they are fresh: 300. */
  freshMin?: number;
  /** The longest time they are fresh: 3600. */
  freshMax?: number;
  /** How long they serve past that while fetching fails: 3600. */
  staleIfError?: number;
  /** The least time between two fetches forced by unknown `kid`s: 30. */
  unknownKidCooldown?: number;
  /** The pause after a first failure, doubled by each further one: 1. */
  backoffMin?: number;
  /** The longest pause after a failure: 60. */
  backoffMax?: number;
}

/** What the host lends to a verifier. */
export interface HostOptions<C extends object = Claims> {
  /** Fetches discovery documents and JWK Sets; the global `fetch` unless given. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  /** The time in seconds since 1970, for tokens and caches alike; the host's clock unless given. */
  clock?: () => number;
  /** The key caches. */
  cache?: CacheOptions;
  /**
   * The application's own claims, as zod, valibot and others describe them: the type of `claims` is what the schema gives. Asked
   * last, and for every token; what it does not take is refused with `claim_invalid`.
   */
  schema?: StandardSchema<C>;
  /** Who verifies signatures: `"auto"` unless given. */
  backend?: Backend;
  /**
   * Octets of verified tokens to remember, so that the same token costs a comparison the next time; 4 MiB unless given, 0 for
   * none. What can have changed since (time, the issuer's keys) is judged again; tokens bound to a key are never remembered.
   */
  tokenCache?: number;
  /**
   * What `exportState()` of another verifier said. Its key sets are checked like answers of the servers and are as old as they are;
   * what cannot be used is ignored, and `stats().stateRefused` says why.
   */
  state?: string | null;
}

/**
 * `"auto"`: tables of multiples for the ES256 keys that are used most, else WebCrypto (in Node, `node:crypto`), else pure Rust
 * where the build has it (`edgeseal/reference`, and the package itself in Node), else an own verification of RSA, for keys that the
 * host does not take. `"webcrypto"` and `"rustcrypto"`: that one alone.
 */
export type Backend = "auto" | "webcrypto" | "rustcrypto";

/** The options of {@link createVerifier}: one issuer, or several under `issuers`. */
export type VerifierOptions<C extends object = Claims> =
  | (IssuerOptions & HostOptions<C>)
  | ({ issuers: readonly IssuerOptions[] } & HostOptions<C>);

/** A JWK Set (RFC 7517 section 5). */
export interface JwkSet {
  keys: readonly object[];
}

/** The claims of a verified token (RFC 7519 section 4): the registered ones have these types, or the token is refused. */
export interface Claims {
  iss?: string;
  sub?: string;
  aud?: string | string[];
  exp?: number;
  nbf?: number;
  iat?: number;
  jti?: string;
  [name: string]: unknown;
}

/** The JOSE header of a verified token (RFC 7515 section 4). */
export interface Header {
  alg: Algorithm;
  kid?: string;
  typ?: string;
  [name: string]: unknown;
}

/** A token that passed every check. */
export interface Verified<C extends object = Claims> {
  claims: C;
  header: Header;
  /** What the holder of an SD-JWT disclosed: JSON Pointers (RFC 6901) into the claims. Absent where that is nothing. */
  disclosed?: string[];
}

/** A request as the Fetch API and the server frameworks built on it have it. */
export interface RequestLike {
  readonly headers: { get(name: string): string | null };
}

/** What holds a token: its compact text, or a request with `Authorization: Bearer`. Nothing is `token_missing`. */
export type Token = string | RequestLike | null | undefined;

/** What one call of {@link Verifier.verify} asks beyond the verifier's options. */
export interface VerifyOptions<C extends object = Claims> {
  /** In place of the verifier's own. */
  schema?: StandardSchema<C> | undefined;
  /** The nonce that the holder of an SD-JWT was given for this presentation. */
  nonce?: string | undefined;
}

/**
 * Verifies tokens of the issuers it was created with, and keeps their keys. Create it once, not for every request. `C` is the
 * type of the claims: without a schema it is only named, and nothing beyond the registered claims is checked for it.
 */
export interface Verifier<C extends object = Claims> {
  /**
   * Verifies a compact token, or the one in a request's `Authorization: Bearer`.
   *
   * @throws {VerifyError} for a token that is refused, and when the issuer's keys cannot be had (`jwks_unavailable`).
   * @throws {ConfigurationError} for options that cannot be meant, where the host could not say so earlier.
   * @throws {InternalError} when the WebAssembly traps: never a verdict, and a 500 where a server answers.
   */
  verify(token: Token, options?: VerifyOptions & { schema?: undefined }): Promise<Verified<C>>;
  /** The same, with claims of another type than the verifier's. */
  verify<D extends object>(token: Token, options?: VerifyOptions<D>): Promise<Verified<D>>;
  /** Which backend verifies signatures, and the state of the key caches. */
  stats(): VerifierStats;
  /**
   * The key sets that were fetched, as text without secrets, for the option `state` of a verifier elsewhere: what Workers KV or the
   * Cache API carries from one isolate to another.
   */
  exportState(): string;
}

/** See {@link Verifier.stats}. */
export interface VerifierStats {
  /** Who may verify signatures. */
  backend: Backend;
  /** Signatures that each backend verified. */
  verifications: { "p256-tables": number; webcrypto: number; "node-crypto": number; rustcrypto: number; "rsa-montgomery": number };
  /** ES256 keys that have a table. */
  hotKeys: number;
  /** Tokens that were verified before: how often one came again, how many are kept, and their octets. */
  tokenCache: { hits: number; tokens: number; bytes: number };
  /** Why key sets of the option `state` were not taken. */
  stateRefused: string[];
  /** In the order of the options; empty until the WebAssembly is loaded. */
  issuers: IssuerStats[];
}

/** The keys of one issuer. */
export interface IssuerStats {
  issuer: string | null;
  /** Usable keys at hand. */
  keys: number;
  /** When they were fetched, in seconds since 1970; `null` for inline keys and before the first fetch. */
  fetchedAt: number | null;
  /** Fetches begun. */
  fetches: number;
  /** Fetches that failed. */
  failures: number;
  /** Why the last fetch failed; `null` when none has since the last success. */
  lastFailure: string | null;
  /** Tokens verified with keys past their freshness, because fetching failed. */
  staleServed: number;
  /** Fetches that a cooldown or a pause prevented. */
  suppressed: number;
}

/** What {@link verifySignature} takes. */
export interface SignatureOptions {
  algorithm: Algorithm | (string & {});
  /** A public key, as an object or as JSON text. */
  jwk: string | object;
  message: Uint8Array;
  /** As JWA writes it: `r || s` for ECDSA. */
  signature: Uint8Array;
  /** Who verifies it: `"auto"` unless given, which is WebCrypto where the host has it. */
  backend?: Backend | "p256-tables" | "rsa-montgomery";
}

/** See {@link inspectJwks}. */
export interface JwksInspection {
  /** Entries of the set. */
  keys: number;
  /** Entries that may verify tokens. */
  usable: number;
  /** The others. */
  skipped: { index: number; reason: string }[];
}

/** See {@link inspectToken}. */
export interface TokenInspection {
  header: object;
  claims: object;
}
