"""Tables that lie among a dataset's files: one for all of them, or one in each folder of images."""

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pyrite.datasets.columns import Columns, join_tables, read_columns
from pyrite.datasets.labelling import Labelling
from pyrite.datasets.labels import is_picture
from pyrite.datasets.manifest import Manifest, image_column, make_manifest, why_no_labels
from pyrite.datasets.storage import FolderStorage, Storage
from pyrite.datasets.vocabulary import AI, split_of
from pyrite.errors import DatasetError
from pyrite.image import Limits

MANIFEST_NAMES = ("manifest.csv", "manifest.parquet")
"""What a table of all images is called, at the root of a folder or archive."""
METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""What a table of one folder's images is called, as Hugging Face's `datasets` reads it."""


def find_tables(storage: Storage) -> tuple[str, ...]:
    """Return the manifest at the root, or in the one folder that holds everything; or else the tables of folders."""
    names = storage.names
    tops = {PurePosixPath(name).parts[:1] for name in names}
    folders = ("", *tops.pop()) if len(tops) == 1 else ("",)
    present = set(names)
    found = (posixpath.join(folder, name) for folder in folders for name in MANIFEST_NAMES)
    manifest = next((name for name in found if name in present), None)
    return (manifest,) if manifest else tuple(name for name in names if posixpath.basename(name) in METADATA_NAMES)


def open_tables(
    tables: Sequence[str], storage: Storage, root: Path | None, labelling: Labelling
) -> tuple[Storage, Manifest] | str:
    """Read a dataset by the tables in it.

    Args:
        tables: their paths, of which there is one at least. The paths in each start where it lies.
        storage: what they lie in.
        root: the same as a folder, whose tables may name files that lie elsewhere; `None` for an archive.
        labelling: names of columns and classes, where they are not the usual ones.

    Returns:
        The images' files, and the table of all; or a sentence on why folders have to say the class.

    Raises:
        DatasetError: a table is not understood, or is too large for an archive.
    """
    read = {table: _read(table, storage, root) for table in tables}
    optional = labelling.names_classes or PurePosixPath(tables[0]).name in METADATA_NAMES
    if optional:
        for table, (header, values) in read.items():
            if why := why_no_labels(table, header, values, labelling):
                return f"Folders say the class: {why}"
    places = [
        (posixpath.dirname(table), path)
        for table, (header, values) in read.items()
        for path in values[header.index(image_column(table, header, labelling))]
    ]
    paths = [posixpath.normpath(posixpath.join(folder, path)) for folder, path in places]
    several = len(tables) > 1
    name = f"{PurePosixPath(tables[0]).name} of {len(tables)} folders" if several else tables[0]
    columns = join_tables(read) if several else read[tables[0]]
    manifest = make_manifest(name, *columns, labelling, paths)
    if several and "generator" not in manifest.slices:
        manifest = _with_generators(manifest, dict(zip(paths, (folder for folder, _ in places), strict=True)))
    listed = set(paths)
    for path in storage.names:
        if is_picture(path) and path not in listed:
            manifest.tally.left_out["not listed in the table", PurePosixPath(path).parent.name or "."] += 1
    if root is not None:
        return FolderStorage(root, manifest.paths), manifest
    if missing := sorted(listed - set(storage.names)):
        manifest.tally.notes[f"Listed but missing: {len(missing):,}, such as {missing[0]}."] += 1
    return storage, manifest


def _read(table: str, storage: Storage, root: Path | None) -> Columns:
    if root is not None:
        return read_columns(table, (root / table).read_bytes())
    data = storage.read(table)
    if len(data) > Limits().max_bytes:
        raise DatasetError(f"{table} is too large to be read from an archive. Unpack it, and open that.")
    return read_columns(table, data)


def _with_generators(manifest: Manifest, folders: dict[str, str]) -> Manifest:
    """Name each table's folder as the generator of its AI images, unless it names a split: ArtiFact has them so."""

    def generator(path: str, label: int) -> str:
        name = PurePosixPath(folders[path]).name
        return name if label == AI and not split_of(name) else ""

    names = tuple(generator(path, label) for path, label in zip(manifest.paths, manifest.labels, strict=True))
    return replace(manifest, slices={**manifest.slices, "generator": names}) if any(names) else manifest
