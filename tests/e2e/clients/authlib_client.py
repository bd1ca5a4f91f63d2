"""Authlib. Reads {jwks_uri, issuer, audience, ca, tokens} on standard input."""

import json
import sys

from authlib.jose import JsonWebKey, JsonWebToken
from fetch import fetch

asked = json.load(sys.stdin)
options = {
    "iss": {"essential": True, "value": asked["issuer"]},
    "aud": {"essential": True, "value": asked["audience"]},
    "exp": {"essential": True},
}
for name, token in asked["tokens"].items():
    try:
        keys = JsonWebKey.import_key_set(fetch(asked["jwks_uri"], asked["ca"]))
        claims = JsonWebToken([name.split(" ")[0]]).decode(token, keys, claims_options=options)
        claims.validate()
        print(json.dumps({"name": name, "sub": claims["sub"]}))
    except Exception as error:  # whatever it is, the test compares it
        print(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"}))
