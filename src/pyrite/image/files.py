"""A file's bytes: small files are read at once, large ones only while they are decoded."""

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

from pyrite.errors import ImageError
from pyrite.image.values import Limits

MAX_READS = 250_000  # An honest file of 100 MB takes some 50,000.

_SMALL = 4_000_000  # bytes; more than these are not held while there is a canvas too.
_BLOCK = 1 << 20


class File(io.BufferedReader):
    """An open file, which ends files of millions of tiny parts: Pillow takes seconds for each million."""

    data: bytes | None
    """All bytes, where they are in memory."""
    size: int
    """In bytes."""
    reads_left: int

    def __init__(self, content: bytes | io.FileIO) -> None:
        """Take a file's bytes, or a file on disk, which is then closed with this one."""
        if isinstance(content, bytes):
            super().__init__(io.BytesIO(content))
            self._disk = None
            self.data, self.size = content, len(content)
        else:
            super().__init__(content)
            self._disk, self._state = content, _state(content)
            self.data, self.size = None, self._state[0]
        self.reads_left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, if not for too many times already."""
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ImageError("corrupt", "The image is damaged or malicious: it has far too many parts.")
        try:
            return super().read(size)
        except OSError as error:
            raise ImageError("unreadable", f"The file cannot be read: {error}") from error

    def fileno(self) -> int:
        """Have no number: with one, libtiff maps the file, and the process ends if it is cut short meanwhile."""
        raise io.UnsupportedOperation("fileno")

    def read_all(self) -> bytes:
        """Return all bytes, wherever reading has come to; and refuse those that were not what was decoded."""
        if self._disk is None:
            return self.data or b""
        try:
            self._disk.seek(0)
            data = self._disk.readall()
            changed = _state(self._disk) != self._state
        except OSError as error:
            raise ImageError("unreadable", f"The file cannot be read: {error}") from error
        if changed:
            raise ImageError("unreadable", "The file cannot be read: something else was writing to it.")
        return data

    def count(self, part: bytes) -> int:
        """Return how often these few bytes occur."""
        if self.data is not None:
            return self.data.count(part)
        found, rest = 0, b""
        self.seek(0)
        while block := self.read(_BLOCK):
            text = rest + block
            found += text.count(part)
            rest = text[1 - len(part) :]
        return found


def _state(disk: io.FileIO) -> tuple[int, int]:
    status = os.fstat(disk.fileno())
    return status.st_size, status.st_mtime_ns


def open_file(source: str | Path | bytes | BinaryIO, limits: Limits) -> File:
    """Open what `open_image` takes as a file.

    Raises:
        ImageError: `not_found`, `not_a_file`, `unreadable`, `too_many_bytes` or `bad_source`.
    """
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, str | Path):
        path = Path(source)
        try:
            # A device or a pipe may never end, so the kind is looked at before opening.
            status = path.stat()
            if stat.S_ISDIR(status.st_mode) and not os.access(path, os.R_OK | os.X_OK):
                raise ImageError("unreadable", "The folder cannot be listed.")
            if not stat.S_ISREG(status.st_mode):
                if stat.S_ISDIR(status.st_mode):
                    raise ImageError("not_a_file", "This is a folder, not a file. Use -r for the images in it.")
                raise ImageError("not_a_file", "This is a device or a pipe, not a file.")
            _check_bytes(status.st_size, limits)
            if status.st_size > _SMALL:
                return File(io.FileIO(path))
            with path.open("rb") as stream:
                data = stream.read(status.st_size + 1)
        except FileNotFoundError:
            raise ImageError("not_found", "There is no such file.") from None
        except (OSError, ValueError) as error:
            raise ImageError("unreadable", f"The file cannot be read: {error}") from error
    elif hasattr(source, "read"):
        data = _read_stream(source, limits.max_bytes + 1)
    else:
        kind = type(source).__name__
        sentence = f"An image is a path, bytes, a binary stream, a Pillow image or an array, not {kind}."
        raise ImageError("bad_source", sentence)
    _check_bytes(len(data), limits)
    return File(data)


def _read_stream(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size > 0:
        try:
            part = stream.read(size)
        except Exception as error:  # Streams from archives and networks have errors of their own.
            raise ImageError("unreadable", f"The stream cannot be read: {error}") from error
        if not isinstance(part, bytes):
            raise ImageError("bad_source", "The stream must give bytes. Open it in binary mode.")
        if not part:
            break
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_bytes(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ImageError("too_many_bytes", f"The file is larger than the limit of {limits.max_bytes:,} bytes.")
