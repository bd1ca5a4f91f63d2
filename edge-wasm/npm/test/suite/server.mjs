// The issuers that the cases talk to: each case scripts the documents of its own name over HTTP, from whatever host it runs in.
import { once } from "node:events";
import { createServer } from "node:http";

import { makeKey } from "../support.mjs";

const ALGORITHMS = ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519"];
/** 65539, and 2^31 - 1, the largest that Node generates: workerd imports neither. */
const EXPONENTS = ["RS256", "RS512", "PS256", "PS384"].flatMap((alg) => [
  [`${alg} 65539`, alg, [1, 0, 3]],
  [`${alg} 2147483647`, alg, [127, 255, 255, 255]],
]);

/**
 * `PUT /script/NAME` with `[{status, headers, body}, …]` says what `GET /NAME` answers, one after the other, the last for ever;
 * `GET /hits/NAME` counts since then; `GET /tokens` are one token of every algorithm and their keys, `GET /exponents` some under RSA exponents that are not 65537. `files` serves everything else.
 */
export async function startIssuers(files = () => undefined) {
  const scripts = new Map();
  const hits = new Map();
  const tokens = JSON.stringify(await signed(ALGORITHMS.map((alg) => [alg, alg])));
  const exponents = JSON.stringify(await signed(EXPONENTS));
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const json = (body) => response.writeHead(200, { "content-type": "application/json" }).end(body);
    // Pages of another origin may ask.
    for (const what of ["origin", "methods", "headers"]) response.setHeader(`access-control-allow-${what}`, "*");
    if (request.method === "OPTIONS") return response.writeHead(204).end();
    if (pathname.startsWith("/script/")) {
      let text = "";
      for await (const chunk of request) text += chunk;
      const name = pathname.slice("/script".length);
      scripts.set(name, JSON.parse(text));
      hits.set(name, 0);
      return json("null");
    }
    if (pathname.startsWith("/hits/")) return json(String(hits.get(pathname.slice("/hits".length)) ?? 0));
    if (pathname === "/tokens") return json(tokens);
    if (pathname === "/exponents") return json(exponents);
    const script = scripts.get(pathname);
    if (script === undefined) return files(pathname, response) ?? response.writeHead(404).end();
    hits.set(pathname, (hits.get(pathname) ?? 0) + 1);
    const { status = 200, headers = {}, body } = script.length > 1 ? script.shift() : script[0];
    response.writeHead(status, headers).end(typeof body === "string" ? body : JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  return {
    /** Where the scripts are. */
    origin: `http://127.0.0.1:${port}`,
    /** The same server, another origin to a browser. */
    pages: `http://localhost:${port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A token for each name, algorithm and, where it is not 65537, exponent. */
async function signed(names) {
  const keys = await Promise.all(names.map(([name, alg, exponent]) => makeKey(`kid-${name}`, alg, exponent)));
  const claims = { iss: "https://login.example.com", aud: "https://api.example.com", sub: "alice", exp: 4_000_000_000 };
  const tokens = await Promise.all(keys.map(async (key, index) => [names[index][0], await key.token(claims)]));
  return { keys: keys.map(({ jwk }) => jwk), tokens: Object.fromEntries(tokens) };
}
