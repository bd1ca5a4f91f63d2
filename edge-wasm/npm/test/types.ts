// Compiled by package.test.mjs against the packed package, never run: the types hold what the README promises.
import {
  ConfigurationError,
  VerifyError,
  createVerifier,
  inspectJwks,
  inspectToken,
  verifySignature,
  type Algorithm,
  type Check,
  type Claims,
  type Verifier,
  type VerifyErrorCode,
} from "edgeseal";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(): T | undefined => undefined;

const one: Verifier = createVerifier({ issuer: "https://a.example", audience: "b", algorithms: ["ES256"] });
createVerifier({ issuers: [{ issuer: "a", audience: ["b"], algorithms: ["EdDSA"], jwks: { keys: [] } }], clock: () => 1 });
createVerifier({ issuer: "a", audience: "b", algorithms: ["RS256"], fetch: globalThis.fetch, cache: { staleIfError: 0 } });
createVerifier({ algorithms: ["ES256"], dangerous: { skipIssuer: true, skipAudience: true } });
// @ts-expect-error algorithms must be named
createVerifier({ issuer: "a", audience: "b" });
// @ts-expect-error never none
createVerifier({ issuer: "a", audience: "b", algorithms: ["none"] });
// @ts-expect-error an option that does not exist
createVerifier({ issuer: "a", audience: "b", algorithms: ["ES256"], leewy: 1 });

export async function use(request: Request): Promise<Response> {
  try {
    const { claims, header } = await one.verify(request);
    holds<Equal<typeof claims, Claims>>();
    holds<Equal<typeof header.alg, Algorithm>>();
    const subject: string | undefined = claims.sub;
    // @ts-expect-error claims beyond the registered ones are unknown
    const scope: string = claims["scope"];
    const mine = await one.verify<{ scope: string }>("a.b.c");
    return new Response(subject + mine.claims.scope + scope);
  } catch (error) {
    if (error instanceof VerifyError) {
      holds<Equal<typeof error.code, VerifyErrorCode>>();
      holds<Equal<typeof error.check, Check | null>>();
      // @ts-expect-error the codes are a closed list
      if (error.code === "token_exploded") return new Response();
      return error.toResponse();
    }
    if (error instanceof ConfigurationError) return new Response(error.option);
    throw error;
  }
}

export const others = [
  verifySignature({ algorithm: "ES256", jwk: {}, message: new Uint8Array(), signature: new Uint8Array() }),
  inspectJwks("").then(({ usable, skipped }) => usable + skipped.length),
  inspectToken("").then(({ header, claims }) => [header, claims]),
];
