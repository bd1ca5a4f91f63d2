"""A JSON document over HTTPS, trusting this authority or the system's."""

import json
import ssl
import urllib.request


def fetch(url, ca):
    context = ssl.create_default_context(cafile=ca) if ca else ssl.create_default_context()
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        return json.load(answer)
