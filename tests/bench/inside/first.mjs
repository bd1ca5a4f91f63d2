// A Worker that has verified nothing yet: the first request brings the keys and a token.
import { createVerifier } from "edgeseal";

export default {
  async fetch(request) {
    const { issuer, audience, algorithm, jwks, token } = await request.json();
    const { claims } = await createVerifier({ issuer, audience, algorithms: [algorithm], jwks }).verify(token);
    return Response.json(claims);
  },
};
