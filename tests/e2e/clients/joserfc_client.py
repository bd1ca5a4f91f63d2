"""joserfc. Reads {jwks_uri, issuer, audience, ca, tokens} on standard input."""

import json
import sys

from fetch import fetch
from joserfc import jwt
from joserfc.jwk import KeySet

asked = json.load(sys.stdin)
registry = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": asked["issuer"]}, aud={"essential": True, "value": asked["audience"]}, exp={"essential": True}
)
for name, token in asked["tokens"].items():
    try:
        keys = KeySet.import_key_set(fetch(asked["jwks_uri"], asked["ca"]))
        found = jwt.decode(token, keys, algorithms=[name.split(" ")[0]])
        registry.validate(found.claims)
        print(json.dumps({"name": name, "sub": found.claims["sub"]}))
    except Exception as error:  # whatever it is, the test compares it
        print(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"}))
