"""The bytes of a file or URL, within bounds; and addresses of models on the Hub."""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from pyrite.errors import PyriteError

if TYPE_CHECKING:
    from http.client import HTTPResponse

_SILENCE = 30.0
"""Seconds without a byte after which a server is given up."""
_BLOCK = 1 << 16
_PARTIAL, _NOTHING_LEFT = 206, 416  # HTTP's codes for a range, and for one beyond the end.
_TOO_LONG = "the server took too long"
_ON_HUB = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?(?:#(.+))?")


class HubAddress(NamedTuple):
    """Where a model is on the Hugging Face Hub."""

    repository: str
    """OWNER/NAME."""
    revision: str | None
    """A commit, branch or tag, where another than the newest is meant."""
    path: str | None
    """Of a file in the repository, where one is named."""

    def __str__(self) -> str:
        """Return it as `read_hub_address` takes it."""
        return (
            f"hf:{self.repository}"
            + (f"@{self.revision}" if self.revision else "")
            + (f"#{self.path}" if self.path else "")
        )


def read_hub_address(source: str) -> HubAddress | None:
    """Return what `hf:OWNER/NAME[@REVISION][#path/in/repository]` says; `None` of what is not of this form."""
    said = _ON_HUB.fullmatch(source)
    return HubAddress(*said.groups()) if said else None


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


def download(
    source: str,
    place: Path,
    *,
    sha256: str = "",
    sha512: str = "",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Fetch a large file to where it is kept; go on where an earlier call ended, and do nothing where it is there.

    Args:
        source: Its address.
        place: Where it goes. What has come so far lies beside it.
        sha256: Of the file, in hexadecimal; this, or `sha512`.
        sha512: The same with SHA-512.
        progress: Told how many bytes are here, and how many there are, or 0 where that is not known.

    Raises:
        PyriteError: It cannot be had or written, or its hash is another.
    """
    if place.is_file():
        return
    part = place.with_name(f"{place.name}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _append(source, part, progress)
        with part.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256" if sha256 else "sha512").hexdigest()
        if found != (wanted := sha256 or sha512).lower():
            part.unlink()
            kind = "SHA-256" if sha256 else "SHA-512"
            raise PyriteError(f"{source} has the {kind} {found}, not {wanted}. It may have changed since.")
        part.replace(place)
    except OSError as error:
        raise PyriteError(f"{place} cannot be written: {error.strerror or error}.") from error


def _append(source: str, part: Path, progress: Callable[[int, int], None]) -> None:
    """Fetch what a file does not have yet."""
    have = part.stat().st_size if part.is_file() else 0
    with _opened(source, _SILENCE, start=have) as answer:
        if answer.status == _NOTHING_LEFT:
            return
        # A server that knows no ranges begins anew.
        have = have if answer.status == _PARTIAL else 0
        total = have + (answer.length or 0)
        with part.open("ab" if have else "wb") as stream:
            while block := answer.read1(_BLOCK):
                stream.write(block)
                have += len(block)
                progress(have, total)
        if have < total:
            raise PyriteError(f"{source} ended after {have:,} of {total:,} bytes. Run the same command to continue.")


def _download(source: str, max_bytes: int, seconds: float, progress: Callable[[int, int], None]) -> bytes:
    with _opened(source, min(_SILENCE, seconds), hint=" Without a network, give a file of it with --from.") as answer:
        return _read(answer, source, max_bytes, time.monotonic() + seconds, progress)


@contextmanager
def _opened(source: str, silence: float, *, start: int = 0, hint: str = "") -> "Iterator[HTTPResponse]":
    """Give a server's answer, from a byte on, and say plainly what goes wrong, also while it is read."""
    from http.client import HTTPException  # Late, since these take long to load.
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Redirects(HTTPRedirectHandler):
        def redirect_request(self, request: Request, file: object, *rest: object) -> Request | None:
            address = str(rest[-1])
            if request.full_url.startswith("https://") and not address.startswith("https://"):
                raise URLError(f"it redirects from https to {address}")
            return super().redirect_request(request, file, *rest)  # type: ignore[arg-type]

    headers = {"User-Agent": "pyrite"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        with build_opener(Redirects).open(Request(source, headers=headers), timeout=silence) as answer:
            yield answer
        return
    except HTTPError as error:
        with error:
            if start and error.code == _NOTHING_LEFT:
                yield cast("HTTPResponse", error)
                return
        reason = f"the server answered {error.code} {error.reason}".rstrip()
    except URLError as error:
        reason = _TOO_LONG if isinstance(error.reason, TimeoutError) else str(error.reason)
    except TimeoutError:
        reason = _TOO_LONG
    except (OSError, HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
    reason = " ".join(reason.split())[:200]  # A server may say anything.
    raise PyriteError(f"{source} cannot be fetched: {reason}.{hint}")


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
