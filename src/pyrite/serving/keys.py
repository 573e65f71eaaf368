"""API keys, of which the server keeps only hashes."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence


def make_key() -> tuple[str, str]:
    """Return a new key and its hash.

    A key is 256 random bits, which nobody can guess from a plain hash, so a slow one would only cost time.
    """
    key = secrets.token_urlsafe(32)
    return key, hash_key(key)


def hash_key(key: str) -> str:
    """Return the SHA-256 of a key in hexadecimal, as the setting `api_keys` has it."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def known_key(key: str, hashes: Sequence[str]) -> str | None:
    """Return the hash of a key if it is one of `hashes`, in a time that tells nothing of them."""
    ours = hash_key(key)
    # Every one is compared, so that the time does not tell which was right.
    found = [hmac.compare_digest(ours, known) for known in hashes]
    return ours if any(found) else None


def presented_key(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """Return the key that a request came with, by `Authorization: Bearer` or `X-API-Key`."""
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip()
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
    return None
