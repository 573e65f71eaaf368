"""The bytes of a file or URL, within bounds."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.errors import PyriteError

if TYPE_CHECKING:
    from http.client import HTTPResponse

_SILENCE = 30.0
"""Seconds without a byte after which a server is given up."""
_BLOCK = 1 << 16
_TOO_LONG = "the server took too long"


def fetch(
    source: str,
    *,
    max_bytes: int,
    seconds: float = 600.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> bytes:
    """Return all bytes of a file, or of an address that begins with https:// or http://.

    Args:
        source: The file or address. An address in https never leads to one in http.
        max_bytes: Anything larger is refused.
        seconds: What a download may take in all.
        progress: Told how many bytes of a download are here, and how many there are, or 0 where that is not known.

    Raises:
        PyriteError: It cannot be had, is too large, or ends early.
    """
    if source.startswith(("https://", "http://")):
        return _download(source, max_bytes, seconds, progress)
    try:
        with Path(source).open("rb") as file:
            content = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise PyriteError(f"{source} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    _check_size(source, len(content), max_bytes)
    return content


def _download(source: str, max_bytes: int, seconds: float, progress: Callable[[int, int], None]) -> bytes:
    from http.client import HTTPException  # Late, since these take long to load.
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Redirects(HTTPRedirectHandler):
        def redirect_request(self, request: Request, file: object, *rest: object) -> Request | None:
            address = str(rest[-1])
            if request.full_url.startswith("https://") and not address.startswith("https://"):
                raise URLError(f"it leads from https to {address}")
            return super().redirect_request(request, file, *rest)  # type: ignore[arg-type]

    try:
        request = Request(source, headers={"User-Agent": "pyrite"})
        with build_opener(Redirects).open(request, timeout=min(_SILENCE, seconds)) as answer:
            return _read(answer, source, max_bytes, time.monotonic() + seconds, progress)
    except HTTPError as error:
        error.close()
        reason = f"the server answered {error.code} {error.reason}".rstrip()
    except URLError as error:
        reason = _TOO_LONG if isinstance(error.reason, TimeoutError) else str(error.reason)
    except TimeoutError:
        reason = _TOO_LONG
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
    reason = " ".join(reason.split())[:200]  # A server may say anything.
    raise PyriteError(f"{source} cannot be fetched: {reason}. Without a network, give a file of it with --from.")


def _read(
    answer: "HTTPResponse", source: str, max_bytes: int, end: float, progress: Callable[[int, int], None]
) -> bytes:
    total = answer.length or 0
    _check_size(source, total, max_bytes)
    content = bytearray()
    while block := answer.read1(_BLOCK):
        content += block
        _check_size(source, len(content), max_bytes)
        if time.monotonic() > end:
            raise TimeoutError
        progress(len(content), total)
    if len(content) < total:
        raise OSError(f"it ended after {len(content):,} of {total:,} bytes")
    return bytes(content)


def _check_size(source: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise PyriteError(f"{source} is too large: it has more than {max_bytes:,} bytes.")
