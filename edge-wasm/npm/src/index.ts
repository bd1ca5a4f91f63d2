// The types of the package, the same on every host; `node.ts`, `browser.ts` and `workerd.ts` carry them out.
import type { Claims, JwksInspection, SignatureOptions, TokenInspection, Verifier, VerifierOptions } from "./types.js";

export { ConfigurationError, InternalError, VerifyError } from "./errors.js";
export { ALGORITHMS, CHECKS, type Algorithm, type Check, type VerifyErrorCode } from "./names.js";
export type { SchemaIssue, SchemaResult, StandardSchema } from "./schema.js";
export type * from "./types.js";

/**
 * A verifier for the tokens of one issuer, or of several under `issuers`. Nothing is fetched before the first token.
 *
 * @throws {ConfigurationError} for options that cannot be meant. In browsers, which load WebAssembly asynchronously, some of
 * it is thrown by the first `verify`.
 * @throws {VerifyError} `jwks_malformed` for an inline JWK Set that is not one.
 */
export declare function createVerifier<C extends object = Claims>(options: VerifierOptions<C>): Verifier<C>;

/**
 * Verifies a signature below the level of tokens.
 *
 * @throws {VerifyError} `algorithm_not_allowed`, `key_not_found` for a key that may not verify, `key_mismatch`,
 * `signature_invalid`.
 */
export declare function verifySignature(options: SignatureOptions): Promise<void>;

/**
 * What a JWK Set holds, and why keys in it are of no use.
 *
 * @throws {VerifyError} `jwks_malformed`.
 */
export declare function inspectJwks(text: string): Promise<JwksInspection>;

/**
 * Header and claims of a token that nobody has verified, for a person to look at and for nothing else.
 *
 * @throws {VerifyError} `token_malformed`, `token_too_large`.
 * @throws {SyntaxError} for a payload that is not a JSON object.
 */
export declare function inspectToken(token: string): Promise<TokenInspection>;
