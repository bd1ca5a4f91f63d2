/** The signature algorithms that Edgeseal verifies: `alg` values of RFC 7518 section 3.1, RFC 8037 and RFC 9864. */
export const ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "EdDSA",
  "Ed25519",
] as const;

/** One of {@link ALGORITHMS}. */
export type Algorithm = (typeof ALGORITHMS)[number];

/** Why a token or a request was refused. The list is closed. */
export type VerifyErrorCode =
  | "token_malformed"
  | "token_too_large"
  | "critical_header_unsupported"
  | "algorithm_not_allowed"
  | "type_mismatch"
  | "key_not_found"
  | "key_ambiguous"
  | "key_mismatch"
  | "signature_invalid"
  | "disclosure_invalid"
  | "claim_missing"
  | "claim_invalid"
  | "proof_required"
  | "proof_invalid"
  | "issuer_mismatch"
  | "audience_mismatch"
  | "token_expired"
  | "token_not_yet_valid"
  | "token_too_old"
  | "lifetime_exceeded"
  | "key_expired"
  | "jwks_unavailable"
  | "jwks_malformed"
  | "token_missing"
  | "authorization_malformed";

/** The checks, in the order in which they are made: all before the failing one passed, those after it were not reached. */
export const CHECKS = [
  "structure",
  "routing",
  "critical",
  "algorithm",
  "type",
  "key",
  "signature",
  "disclosures",
  "claims",
  "proof",
  "issuer",
  "audience",
  "expiry",
  "not_before",
  "lifetime",
] as const;

/** One of {@link CHECKS}. */
export type Check = (typeof CHECKS)[number];
