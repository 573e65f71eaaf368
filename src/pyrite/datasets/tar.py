"""Tar archives whose damage is told: `tarfile` takes a damaged header for the archive's end, and says nothing."""

import tarfile
from typing import Self


class StrictTarInfo(tarfile.TarInfo):
    """A member whose header must be whole, of an archive whose end must be marked; for `tarfile.open(tarinfo=…)`."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Read the next header.

        Raises:
            tarfile.ReadError: It is damaged, or the archive ends without a mark.
        """
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
