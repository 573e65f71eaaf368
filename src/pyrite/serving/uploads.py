"""Bodies of requests, streamed to a little memory and then to disk, and cut off at their limits."""

import asyncio
import itertools
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from pyrite.serving.refusal import Refusal, busy

if TYPE_CHECKING:
    from fastapi import Request

MEMORY = 1_000_000
"""Bytes of a request's files that are kept in memory, about; what comes after these goes to disk."""

HEAD = 256_000
"""Bytes of a file that tell what it is."""

_FILES, _CLIENT_ID = b"files", b"client_id"
_MAX_CLIENT_ID = 1000  # bytes
_EXTENDED = re.compile(rb";\s*filename\*\s*=\s*utf-8'[^';]*'([^;\s]*)", re.IGNORECASE)
_SLOW = 10_000  # bytes a second, under which a body gives way to others when there is no more room
_GRACE = 1.0  # seconds before a body is called slow
_numbers = itertools.count()


_PREFIX = "pyrite-uploads-"
_STALE = 60.0  # seconds after which a folder that no server holds is one that a server left when it was killed


@dataclass(frozen=True, slots=True)
class UploadBounds:
    """What a request may bring."""

    max_bytes: int
    """Of one file."""
    max_request_bytes: int
    max_files: int
    seconds: float
    """For the whole body to come."""
    client_ids: bool = False
    """Whether a form may have an id for each file."""


@dataclass(slots=True)
class Upload:
    """One file as it came; no more of it is kept than tells that it is too large."""

    name: str | None
    client_id: str | None = None
    """What the client calls it, where it says."""
    content: bytearray = field(default_factory=bytearray)
    """What is not on disk yet."""
    path: Path | None = None
    size: int = 0
    """Of what is kept, in bytes."""

    @property
    def source(self) -> bytes | Path:
        """Where its bytes are."""
        return self.path or bytes(self.content)

    def head(self) -> bytes:
        """Return its first bytes."""
        if self.path is None:
            return bytes(self.content[:HEAD])
        with self.path.open("rb") as stream:
            return stream.read(HEAD)


@contextmanager
def upload_folder() -> Iterator[Path]:
    """Give a folder for uploads that is gone afterwards; what servers left that were killed is gone before."""
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), _held(left):
            if time.time() - left.stat().st_mtime > _STALE:
                shutil.rmtree(left, ignore_errors=True)
    prefix = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder, _held(Path(folder)):
        yield Path(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder as long as this process lives, or raise `BlockingIOError` where another does."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@dataclass(slots=True, eq=False)
class Coming:
    """A body on its way."""

    client: str
    timeout: asyncio.Timeout
    began: float
    size: int = 0
    gave_way: bool = False


def give_way(coming: set[Coming], client: str | None) -> bool:
    """End the slowest body, of a client or of anybody, for one that finds no room, and say whether there was any."""
    slowest = find_slowest({one for one in coming if client in (None, one.client)})
    if slowest is None:
        return False
    slowest.gave_way = True
    coming.discard(slowest)
    slowest.timeout.reschedule(asyncio.get_running_loop().time())
    return True


def find_slowest(coming: set[Coming]) -> Coming | None:
    """Return the slowest of the bodies that come as slowly as nobody's network is, if any does."""
    now = asyncio.get_running_loop().time()
    rates = [
        (one.size / (now - one.began), one) for one in coming if now - one.began > _GRACE and not one.timeout.expired()
    ]
    rate, slowest = min(rates, key=lambda pair: pair[0], default=(_SLOW, None))
    return slowest if rate < _SLOW else None


@asynccontextmanager
async def receive(
    request: "Request", bounds: UploadBounds, folder: Path, coming: set[Coming]
) -> AsyncIterator[list[Upload]]:
    """Give the files of a request: the parts of a form that are named `files`, or the body itself.

    Args:
        request: Whose body nobody has read.
        bounds: What it may bring.
        folder: For files that are not kept in memory; they are gone when this ends.
        coming: Has this one as long as its body is on its way.

    Raises:
        Refusal: It is too large, too slow, has no files or too many, or cannot be understood.
    """
    store = _Store(bounds, folder)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise Refusal(415, "unsupported_media_type", "Send the body without Content-Encoding.")
    try:
        try:
            async with asyncio.timeout(bounds.seconds) as timeout:
                this = Coming(request.state.asker.client, timeout, asyncio.get_running_loop().time())
                coming.add(this)
                if kind == "multipart/form-data":
                    await _receive_form(request, store, this)
                elif kind.startswith("image/") or kind == "application/octet-stream":
                    await _receive_raw(request, store, this)
                else:
                    raise Refusal(
                        415,
                        "unsupported_media_type",
                        "Send multipart/form-data with parts named files, or an image as image/* or "
                        "application/octet-stream.",
                    )
        except TimeoutError:
            sentence = f"The body did not come within {bounds.seconds:g} seconds."
            if this.gave_way:
                sentence = "The body came too slowly while others were waiting."
            raise Refusal(408, "timed_out", sentence) from None
        finally:
            coming.discard(this)
        if not store.files:
            raise Refusal(422, "no_files", "The form has no file.")
        store.assign_ids()
        yield store.files
    finally:
        store.close()


class _Store:
    """The files of one request so far."""

    def __init__(self, bounds: UploadBounds, folder: Path) -> None:
        self.files: list[Upload] = []
        self.bounds, self._folder = bounds, folder
        self._ids: list[bytearray] = []
        self._in_id = False
        self._held = 0  # bytes in memory
        self._touched: list[Upload] = []  # since the last `settle`

    def begin(self, name: str | None) -> None:
        if len(self.files) == self.bounds.max_files:
            raise Refusal(413, "too_many_files", f"A request may bring {self.bounds.max_files:,} files at most.")
        self.files.append(Upload(name))
        self._in_id = False

    def begin_id(self) -> None:
        if len(self._ids) == self.bounds.max_files:
            raise Refusal(413, "too_many_files", f"A request may bring {self.bounds.max_files:,} client_id at most.")
        self._ids.append(bytearray())
        self._in_id = True

    def assign_ids(self) -> None:
        """Give each file its id, once all have come."""
        if self._ids and len(self._ids) != len(self.files):
            counts = f"{len(self._ids):,} client_id and {len(self.files):,} files"
            sentence = f"The form has {counts}. Send one client_id for each file, in the same order, or none."
            raise Refusal(422, "invalid_request", sentence)
        for file, text in zip(self.files, self._ids, strict=False):
            try:
                file.client_id = text.decode()
            except UnicodeDecodeError:
                raise Refusal(422, "invalid_request", "A client_id must be text in UTF-8.") from None

    def add(self, data: bytes) -> None:
        if self._in_id:
            self._ids[-1].extend(data)
            if len(self._ids[-1]) > _MAX_CLIENT_ID:
                sentence = f"A client_id may have {_MAX_CLIENT_ID:,} bytes at most."
                raise Refusal(422, "invalid_request", sentence)
            return
        file = self.files[-1]
        # One byte too many tells of all the others.
        kept = data[: self.bounds.max_bytes + 1 - file.size]
        file.content += kept
        file.size += len(kept)
        self._held += len(kept)
        if not self._touched or self._touched[-1] is not file:
            self._touched.append(file)

    async def settle(self) -> None:
        """Bring to disk what there is no memory for."""
        for file in self._touched:
            with _disk():
                if file.path is None and self._held > MEMORY:
                    file.path = self._folder / f"upload-{next(_numbers)}"
                    file.path.touch()
                if file.path is not None:
                    await asyncio.to_thread(_append, file.path, bytes(file.content))
            if file.path is not None:
                self._held -= len(file.content)
                file.content.clear()
        self._touched.clear()

    def close(self) -> None:
        for file in self.files:
            if file.path is not None:
                with suppress(OSError):
                    file.path.unlink(missing_ok=True)


async def _receive_raw(request: "Request", store: _Store, this: Coming) -> None:
    store.begin(None)
    async for data in _body(request, store.bounds.max_bytes, this):
        store.add(data)
        await store.settle()


async def _receive_form(request: "Request", store: _Store, this: Coming) -> None:
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser, parse_options_header

    _, options = parse_options_header(request.headers["content-type"])
    boundary = options.get(b"boundary")
    if not boundary:
        raise Refusal(400, "malformed_body", "The form's Content-Type names no boundary.")
    name, value, disposition, complete = bytearray(), bytearray(), b"", False

    def part_begin() -> None:
        nonlocal disposition
        disposition = b""

    def header_end() -> None:
        nonlocal disposition
        if name.lower() == b"content-disposition":
            disposition = bytes(value)
        name.clear()
        value.clear()

    def headers_finished() -> None:
        _, options = parse_options_header(disposition)
        field, file = options.get(b"name", b""), options.get(b"filename", _extended_name(disposition))
        if field == _FILES and file is not None:
            # The file's name is only ever told, and never opened.
            store.begin(file.decode("utf-8", "backslashreplace"))
        elif field == _CLIENT_ID and file is None and store.bounds.client_ids:
            store.begin_id()
        else:
            raise Refusal(422, "unknown_field", _what_is_wrong(field, file, store.bounds.client_ids))

    def end() -> None:
        nonlocal complete
        complete = True

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": part_begin,
                "on_part_data": lambda data, start, end: store.add(data[start:end]),
                "on_header_field": lambda data, start, end: name.extend(data[start:end]),
                "on_header_value": lambda data, start, end: value.extend(data[start:end]),
                "on_header_end": header_end,
                "on_headers_finished": headers_finished,
                "on_end": end,
            },
        )
        async for data in _body(request, store.bounds.max_request_bytes, this):
            parser.write(data)
            await store.settle()
    except FormParserError:
        complete = False
    if not complete:
        raise Refusal(400, "malformed_body", "The form is not what multipart/form-data looks like, or was cut short.")


def _extended_name(disposition: bytes) -> bytes | None:
    """Return the file name of a part that has it as `filename*` alone, which RFC 7578 forbids and some send."""
    found = _EXTENDED.search(disposition)
    return unquote_to_bytes(found[1]) if found else None


def _what_is_wrong(field: bytes, file: bytes | None, client_ids: bool) -> str:
    """Return what to say of a part that no form here may have."""
    name = field.decode("utf-8", "backslashreplace")[:100]
    if field == _FILES:
        return "A part named files has no filename in its Content-Disposition, so it is no file."
    if field == _CLIENT_ID and client_ids and file is not None:
        return "A part named client_id has a filename. Send the id as text, without one."
    allowed = "files, and client_id for their ids" if client_ids else "files"
    return f"The form has a part named {name!r}. Its parts must be named {allowed}."


async def _body(request: "Request", most: int, this: Coming) -> AsyncIterator[bytes]:
    """Yield a body as it comes, and refuse it as soon as it is larger than allowed."""
    sentence = f"The body is larger than the limit of {most:,} bytes."
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or len(told) > 18 or int(told) > most:
        raise Refusal(413, "too_large", sentence)
    async for data in request.stream():
        this.size += len(data)
        if this.size > most:
            raise Refusal(413, "too_large", sentence)
        yield data


def _append(path: Path, data: bytes) -> None:
    # Which makes no file: whoever waits for this may have gone, and the file with them.
    with path.open("r+b") as stream:
        stream.seek(0, os.SEEK_END)
        stream.write(data)


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise busy("no_space", f"The server cannot keep this upload: {error.strerror}.") from error
