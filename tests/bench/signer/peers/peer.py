"""The same work in Python: mutual TLS (uvicorn), a durable audit row before the signature, C_Sign by python-pkcs11, a check.

Requests that arrive in one turn of the event loop share a transaction, as the signer's do.
usage: SETTINGS=settings.json python peer.py
"""
import asyncio
import base64
import hashlib
import json
import os
import secrets
import sqlite3
import ssl
import time

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

with open(os.environ["SETTINGS"]) as file:
    settings = json.load(file)


def encode(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def decode(text):
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


class Signer:
    def __init__(self):
        with open(settings["pin"]) as pin:
            token = pkcs11.lib(settings["module"]).get_token(token_label=settings["label"])
            self.session = token.open(user_pin=pin.read().strip())
        identifier = bytes.fromhex(settings["id"])
        self.key = self.session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=identifier)
        jwk = settings["jwk"]
        self.public = ec.EllipticCurvePublicNumbers(decode(jwk["x"]), decode(jwk["y"]), ec.SECP256R1()).public_key()
        self.header = encode(json.dumps({"alg": "ES256", "kid": jwk["kid"], "typ": "JWT"}, separators=(",", ":")).encode())
        self.database = sqlite3.connect(settings["database"], isolation_level=None, timeout=5)
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute("CREATE TABLE IF NOT EXISTS audit (id INTEGER PRIMARY KEY, at INTEGER, agent TEXT, jti TEXT, digest BLOB)")
        self.waiting = []

    def turn(self):
        group, self.waiting = self.waiting, []
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany("INSERT INTO audit (at, agent, jti, digest) VALUES (?, ?, ?, ?)", [row for row, _, _ in group])
        self.database.execute("COMMIT")
        for (_, _, _, digest), signing_input, done in group:
            signature = self.key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)
            r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
            self.public.verify(utils.encode_dss_signature(r, s), digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
            done.set_result(signing_input + b"." + encode(signature))

    async def token(self, claims, audience, lifetime):
        now = time.time()
        jti = secrets.token_urlsafe(16)
        claims = {**claims, "iss": settings["issuer"], "aud": audience, "iat": int(now), "exp": int(now) + lifetime, "jti": jti}
        signing_input = self.header + b"." + encode(json.dumps(claims, separators=(",", ":")).encode())
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self.waiting.append(((int(now * 1000), "demo-app", jti, hashlib.sha256(signing_input).digest()), signing_input, done))
        if len(self.waiting) == 1:
            loop.call_soon(self.turn)
        return await done


signer = None


async def application(scope, receive, send):
    global signer
    if scope["type"] == "lifespan":
        await receive()
        signer = Signer()
        return await send({"type": "lifespan.startup.complete"})
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    request = json.loads(body)
    lifetime = request.get("ttl", 600)
    status, answer = 403, b""
    if request["audience"] == settings["audience"] and lifetime <= 3600:
        token = await signer.token(request["claims"], request["audience"], lifetime)
        status, answer = 200, json.dumps({"token": token.decode(), "kid": settings["jwk"]["kid"]}, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        "peer:application", host="127.0.0.1", port=settings["port"], workers=settings["processes"], loop="uvloop", http="httptools",
        log_level="error", access_log=False, lifespan="on", ssl_certfile=settings["cert"], ssl_keyfile=settings["key"],
        ssl_ca_certs=settings["ca"], ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
