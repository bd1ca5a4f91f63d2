import { parseReply, type Host, type Wasm } from "./core.js";
import type { Claims, JwksInspection, SignatureOptions, TokenInspection, Verifier, VerifierOptions } from "./types.js";
import { EdgeVerifier, refusal, unsupported } from "./verifier.js";

/** The package's functions on one host. */
export function bind(host: Host) {
  async function inspect(text: string, what: (wasm: Wasm, text: string) => string): Promise<unknown> {
    if (typeof text !== "string") throw new TypeError("a string is needed");
    const cut = text.length > INSPECTED_CUT ? text.slice(0, INSPECTED_CUT) : text;
    const answer = (await host.load()).run((wasm) => what(wasm, cut));
    const reply = parseReply(answer);
    if (reply[0] === "inspected") return reply[1];
    throw refusal(answer);
  }

  return {
    createVerifier<C extends object = Claims>(options: VerifierOptions<C>): Verifier<C> {
      return new EdgeVerifier(host, options);
    },

    async verifySignature({ algorithm, jwk, message, signature, backend = "auto" }: SignatureOptions): Promise<void> {
      if (!(message instanceof Uint8Array && signature instanceof Uint8Array)) throw new TypeError("message and signature: must be a Uint8Array");
      // Copies: what is checked here is what WebCrypto gets, whatever the caller does meanwhile. (A Buffer's slice is none.)
      const [octets, signed] = [new Uint8Array(signature), new Uint8Array(message)];
      const instance = await host.load();
      const text = typeof jwk === "string" ? jwk : JSON.stringify(jwk);
      const ask = (hasWebCrypto: boolean) =>
        instance.run((wasm) => wasm.verifySignature(algorithm, text, signed, octets, backend, hasWebCrypto));
      const answer = ask(host.signatures.isHere());
      const reply = parseReply(answer);
      if (reply[0] === "verified") return;
      if (reply[0] === "refused") throw refusal(answer);
      if (reply[0] !== "import") throw unsupported(algorithm, backend, undefined);
      const key = await host.signatures.importKey(reply[1], backend);
      if (!(key instanceof Error)) {
        if (await key(octets, signed)) return;
        throw refusal(instance.run((wasm) => wasm.signatureInvalid()));
      }
      if (backend === "webcrypto") throw unsupported(algorithm, backend, key);
      const without = ask(false);
      const [kind] = parseReply(without);
      if (kind === "verified") return;
      throw kind === "refused" ? refusal(without) : unsupported(algorithm, backend, key);
    },

    async inspectJwks(text: string): Promise<JwksInspection> {
      return (await inspect(text, (wasm, cut) => wasm.inspectJwks(cut))) as JwksInspection;
    },

    async inspectToken(token: string): Promise<TokenInspection> {
      const { header, claims } = (await inspect(token, (wasm, cut) => wasm.inspectToken(cut))) as {
        header: object;
        claims: string | null;
      };
      return { header, claims: claimsObject(claims) };
    },
  };
}

/** Characters that go to the WebAssembly at most: more than it accepts, so that it is it who refuses. */
const INSPECTED_CUT = 64 * 1024 + 1;

function claimsObject(text: string | null): object {
  try {
    const claims: unknown = JSON.parse(text ?? "");
    if (typeof claims === "object" && claims !== null && !Array.isArray(claims)) return claims;
  } catch {
    // Told below.
  }
  throw new SyntaxError("the payload is not a JSON object");
}
