import { type Algorithm, type Verifier, VerifyError, createVerifier } from "edgeseal";

interface Env {
  ISSUER: string;
  AUDIENCE: string;
  ALGORITHMS: string;
}

// One verifier for all requests of an isolate: it keeps the issuer's keys.
let verifier: Verifier | undefined;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    verifier ??= createVerifier({
      issuer: env.ISSUER,
      audience: env.AUDIENCE,
      algorithms: env.ALGORITHMS.split(" ") as Algorithm[],
    });
    if (new URL(request.url).pathname === "/health") return new Response("ok");
    try {
      const { claims } = await verifier.verify(request);
      return Response.json({ hello: claims.sub });
    } catch (error) {
      if (!(error instanceof VerifyError)) throw error;
      console.warn(error.message); // the whole reason is for the log, the client gets the code
      return error.toResponse();
    }
  },
};
