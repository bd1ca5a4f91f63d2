"""PyJWT with PyJWKClient over HTTPS. Reads {jwks_uri, issuer, audience, ca, tokens} on standard input."""

import json
import ssl
import sys

import jwt

asked = json.load(sys.stdin)
context = ssl.create_default_context(cafile=asked["ca"]) if asked["ca"] else ssl.create_default_context()
client = jwt.PyJWKClient(asked["jwks_uri"], ssl_context=context)
for name, token in asked["tokens"].items():
    try:
        key = client.get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=[name.split(" ")[0]], issuer=asked["issuer"], audience=asked["audience"])
        print(json.dumps({"name": name, "sub": claims["sub"]}))
    except Exception as error:  # whatever it is, the test compares it
        print(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"}))
