// Inputs far too large, too deep or too many, made where they are judged: no transport would carry some of them. Runs in every
// host that has the npm package; it must be imported before the package, whose memory it watches.

const memories = [];
const watched = (instance) => {
  if (instance.exports.memory instanceof WebAssembly.Memory) memories.push(instance.exports.memory);
  return instance;
};
const { Instance, instantiate, instantiateStreaming } = WebAssembly;
WebAssembly.Instance = new Proxy(Instance, { construct: (target, args) => watched(Reflect.construct(target, args)) });
for (const [name, original] of [["instantiate", instantiate], ["instantiateStreaming", instantiateStreaming]]) {
  if (original === undefined) continue;
  WebAssembly[name] = async (...args) => {
    const result = await original.apply(WebAssembly, args);
    watched(result.instance ?? result);
    return result;
  };
}

const base64url = (text) => btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const nested = (depth) => "[".repeat(depth) + "]".repeat(depth);
const HEADER = base64url('{"alg":"ES256","kid":"k"}');
const KEY = '{"kty":"EC","crv":"P-256","kid":"k","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}';
const MODULUS = "_".repeat(2730) + "w";

const token = (text, code) => ({ code, make: () => ({ token: text() }) });
const keys = (body, code) => ({ code, make: () => ({ token: `${HEADER}.e30.AA`, body: body() }) });

/** What is judged, by its name: `make` gives a token, and the body that the issuer's server answers with. */
export const CASES = {
  "a token of 1 MB": token(() => `${HEADER}.${"A".repeat(1 << 20)}.AA`, "token_too_large"),
  "a million dots": token(() => ".".repeat(1_000_000), "token_too_large"),
  "a header of 100 MB": token(() => `${"A".repeat(100_000_000)}.e30.AA`, "token_too_large"),
  "a header of 100 MB that is not ASCII": token(() => "é".repeat(50_000_000), "token_too_large"),
  "a header of depth 110 000": token(() => `${base64url(`{"alg":${nested(110_000)}}`)}.e30.AA`, "token_too_large"),
  "a header as deep as it fits": token(() => `${base64url(`{"alg":${nested(1_500)}}`)}.e30.AA`, "token_malformed"),
  "a million disclosures": token(() => `${HEADER}.e30.AA${"~".repeat(1_000_000)}`, "token_too_large"),
  "as many disclosures as fit": token(() => `${HEADER}.e30.AA${"~".repeat(60_000)}`, "token_too_large"),
  "a set of 20 000 keys": keys(() => `{"keys":[${Array(20_000).fill(KEY).join()}]}`, "jwks_unavailable"),
  "a set of as many keys as fit": keys(() => `{"keys":[${Array(400).fill(KEY).join()}]}`, "jwks_unavailable"),
  "a set of depth 110 000": keys(() => `{"keys":[],"x":${nested(110_000)}}`, "jwks_unavailable"),
  "a set as deep as it fits": keys(() => `{"keys":[],"x":${nested(30_000)}}`, "jwks_unavailable"),
  "a key of 16 384 bits": keys(() => `{"keys":[{"kty":"RSA","kid":"k","e":"AQAB","n":"${MODULUS}"}]}`, "key_not_found"),
  "20 keys of 16 384 bits": keys(() => `{"keys":[${Array(20).fill(`{"kty":"RSA","kid":"k","e":"AQAB","n":"${MODULUS}"}`).join()}]}`, "key_not_found"),
};

/**
 * Judges one case.
 *
 * @returns {Promise<{code: string, ms: number, memory: number}>} the milliseconds where the host's clock runs; the octets of all
 * WebAssembly memory
 */
export async function attempt({ createVerifier, VerifyError }, name) {
  const { token, body } = CASES[name].make();
  const options = { issuer: "https://issuer.example", audience: "a", algorithms: ["ES256"], jwksUri: "https://issuer.example/jwks" };
  const verifier = createVerifier({ ...options, fetch: async () => new Response(body ?? '{"keys":[]}') });
  // The WebAssembly is there before the clock runs.
  await verifier.verify("a").catch(() => {});
  const began = performance.now();
  const code = await verifier.verify(token).then(() => null, (error) => (error instanceof VerifyError ? error.code : `${error}`));
  const ms = performance.now() - began;
  return { code, ms, memory: memories.reduce((sum, memory) => sum + memory.buffer.byteLength, 0) };
}

/** A case without its verification: what making the input costs. */
export function make(name) {
  const { token } = CASES[name].make();
  return { code: null, ms: 0, memory: token.length };
}
