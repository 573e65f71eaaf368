"""Datasets of the Hugging Face Hub: fetched once, pinned to a commit, and opened from the Hub's own cache."""

import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pyrite.datasets.storage import walk
from pyrite.datasets.tally import Tally
from pyrite.errors import DatasetError, in_one_line, require
from pyrite.folders import cache_folder

PREFIX = "hf:"
_SOURCE = re.compile(r"hf:([\w.-]+/[\w.-]+?)(?:@((?:refs/\w+/)?[\w.-]+))?(?:/(.+))?")
_FORM = "hf:OWNER/NAME, hf:OWNER/NAME@REVISION or hf:OWNER/NAME/PATTERN"
_PACKED = (".zip", ".7z", ".rar")
"""Not fetched unless they are asked for: they are large, and those inside a folder are not opened."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A dataset of the Hub on this machine."""

    path: Path
    name: str
    tally: Tally


def fetch_from_hub(source: str) -> Fetched:
    """Fetch a dataset's files, or those of them that are asked for, unless they are here already.

    Without a connection, what was fetched before is taken.

    Args:
        source: `hf:OWNER/NAME`, with `@REVISION` if another than the newest is meant, and after a slash the path of a
            file, or a pattern of files, such as `core/test-*`.

    Raises:
        DatasetError: it is not of this form, there is no such dataset or file, or it cannot be fetched.
        MissingExtraError: the extra `hub` is not installed.
    """
    said = _SOURCE.fullmatch(source)
    if said is None:
        raise DatasetError(f"{source} is not of the form {_FORM}.")
    require("hub", "huggingface_hub")
    from huggingface_hub import HfApi, snapshot_download

    repository, revision, pattern = said.groups()
    tally = Tally()
    try:
        files = HfApi().dataset_info(repository, revision=revision).siblings or ()
        names = [file.rfilename for file in files]
    except Exception:  # If what was fetched before will not do, what is wrong is said below.
        names = []
    wanted = [pattern, f"{pattern}/*"] if pattern else None
    try:
        folder = Path(
            snapshot_download(
                repository,
                repo_type="dataset",
                revision=revision,
                allow_patterns=wanted,
                ignore_patterns=None if wanted else [f"*{end}" for end in _PACKED],
            )
        )
        path = _select(folder, wanted) if wanted else folder
    except Exception as error:  # The library's own, of requests and of the disk, of many kinds.
        why = in_one_line(error, 300)
        raise DatasetError(f"The dataset {repository} cannot be fetched from the Hub: {why}") from error
    if not wanted:
        for name in names:
            if PurePosixPath(name).suffix.lower() in _PACKED:
                tally.left_out["archives on the Hub, which are not fetched", name] += 1
    if path is None or not path.exists():
        raise DatasetError(f"The dataset {repository} has no {pattern or 'files that can be opened'}.")
    # The library keeps a snapshot in a folder that is named by its commit.
    tally.notes[f"hf:{repository} at {folder.name}."] += 1
    return Fetched(path, repository, tally)


def _select(folder: Path, patterns: list[str]) -> Path | None:
    """Return the file of a snapshot that is meant, or a folder of links to those that fit; `None` where there is none.

    The snapshot itself has all that was ever fetched of that commit.
    """
    if (folder / patterns[0]).is_file():
        return folder / patterns[0]
    found = [name for name in walk(folder) if any(fnmatchcase(name, pattern) for pattern in patterns)]
    chosen = hashlib.sha256(repr((str(folder), patterns)).encode()).hexdigest()[:24]
    selection = cache_folder() / f"hub-{chosen}"
    for name in found:
        link = selection / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(folder / name)
    return selection if found else None
