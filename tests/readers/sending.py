"""Sends any bodies, as readers send theirs."""

import hashlib
import json

PATH = '/chat/completions'


def key(value) -> bytes:
  return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


def send(client, bodies):
  return client.ask(PATH, [key(body) for body in bodies], bodies.__getitem__)
