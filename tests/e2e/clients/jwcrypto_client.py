"""jwcrypto. Reads {jwks_uri, issuer, audience, ca, tokens} on standard input."""

import json
import sys

from fetch import fetch
from jwcrypto import jwk, jwt

asked = json.load(sys.stdin)
for name, token in asked["tokens"].items():
    try:
        keys = jwk.JWKSet.from_json(json.dumps(fetch(asked["jwks_uri"], asked["ca"])))
        found = jwt.JWT(
            jwt=token, key=keys, algs=[name.split(" ")[0]], check_claims={"iss": asked["issuer"], "aud": asked["audience"], "exp": None}
        )
        print(json.dumps({"name": name, "sub": json.loads(found.claims)["sub"]}))
    except Exception as error:  # whatever it is, the test compares it
        print(json.dumps({"name": name, "error": f"{type(error).__name__}: {error}"}))
