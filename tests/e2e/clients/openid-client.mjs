// npm openid-client: the token as an ID Token of the implicit flow, keys by discovery. Reads {issuer, audience, nonce, tokens}.

import { text } from "node:stream/consumers";
import * as client from "openid-client";

const { issuer, audience, nonce, tokens } = JSON.parse(await text(process.stdin));
for (const [name, token] of Object.entries(tokens)) {
  try {
    const metadata = { id_token_signed_response_alg: name.split(" ")[0], redirect_uris: ["https://app.example/cb"] };
    const configuration = await client.discovery(new URL(issuer), audience, metadata, client.None());
    client.useIdTokenResponseType(configuration);
    const claims = await client.implicitAuthentication(configuration, new URL(`https://app.example/cb#id_token=${token}`), nonce);
    console.log(JSON.stringify({ name, sub: claims.sub }));
  } catch (error) {
    const chain = [];
    for (let one = error; one; one = one.cause) chain.push(one.code ?? "", one.message);
    console.log(JSON.stringify({ name, error: chain.filter(Boolean).join(": ") }));
  }
}
