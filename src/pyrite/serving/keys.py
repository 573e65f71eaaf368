"""API keys, of which the server keeps only hashes."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass


def make_key() -> tuple[str, str]:
    """Return a new key and its hash.

    A key is 256 random bits, which nobody can guess from a plain hash, so a slow one would only cost time.
    """
    key = secrets.token_urlsafe(32)
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key in hexadecimal, as the setting `api_keys` has it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """A key that may ask, as the server knows it."""

    name: str
    """What the log calls it."""
    sha256: str
    """Of the key, in hexadecimal."""


def read_keys(entries: Sequence[str]) -> tuple[Key, ...]:
    """Return the keys of the setting `api_keys`: `NAME:HASH` each, or a hash, which is called by its first digits."""
    split = [entry.rpartition(":") for entry in entries]
    return tuple(Key(name or sha256[:8], sha256) for name, _, sha256 in split)


def known_key(key: str, keys: Sequence[Key]) -> Key | None:
    """Return which of `keys` a key is, in a time that tells nothing of them."""
    ours = hash_key(key)
    # Every one is compared, so that the time does not tell which was right.
    found = [known for known in keys if hmac.compare_digest(ours, known.sha256)]
    return found[0] if found else None


def presented_key(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return the key that a request came with, by `Authorization: Bearer` or `X-API-Key`."""
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return None
