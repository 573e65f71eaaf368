"""Shards: tar files, or Parquet files with image bytes in them, that together are one dataset."""

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

from pyrite.datasets.labelling import Labelling
from pyrite.datasets.labels import is_no_image, is_picture, place_files
from pyrite.datasets.manifest import Manifest, make_manifest
from pyrite.datasets.published import as_published
from pyrite.datasets.storage import Storage, TarStorage, as_os_error, listing, open_storage, size_and_time, walk
from pyrite.datasets.tables import MANIFEST_NAMES
from pyrite.datasets.tally import Tally
from pyrite.datasets.vocabulary import SPLIT_NAMES, split_of
from pyrite.errors import DatasetError, require
from pyrite.image import Limits

_SHARD = re.compile(r".*\.(parquet|tar|tgz|tar\.(gz|bz2|xz))", re.IGNORECASE)
_BESIDE = frozenset({".md", ".json", ".jsonl", ".txt", ".yaml", ".yml", ".csv", ".py", ""})
"""What may lie beside shards: it describes them."""
_IMAGE = "image"
_KEPT = ("label", "class", "target", "split", "generator")  # Of the JSON beside an image.
_SIDECARS = (".cls", ".json", ".txt")
_READ_AT_MOST = Limits().max_bytes + 1


@dataclass(frozen=True, slots=True)
class Shards:
    """Shards that are one dataset together."""

    folder: Path
    names: tuple[str, ...]
    """POSIX paths below the folder, sorted."""
    beside: tuple[str, ...] = ()
    """Other files there, which are not read: descriptions, and tables of what is in tars."""

    @property
    def title(self) -> str:
        """What errors call them."""
        return self.names[0] if len(self.names) == 1 else self.folder.name


class ShardStorage:
    """The images of all shards, in their order. Small to send to another process, however many there are."""

    def __init__(self, shards: Shards, names: Sequence[str], column: str) -> None:
        self._folder = shards.folder.absolute()
        self._column = column
        self._stamps = {shard: size_and_time(shards.folder / shard) for shard in shards.names}
        self.names = tuple(names)
        """Each shard's path, and the file or the row in it."""
        entries = [(shard, *stamp) for shard, stamp in self._stamps.items()]
        # The rows of another column are other images.
        self.fingerprint = listing(entries if column in ("", _IMAGE) else [*entries, (column, 0, 0)])[1]

    def read(self, name: str) -> bytes:
        """Return one image's bytes."""
        slashes = (i for i, character in enumerate(name) if character == "/")
        end = next((i for i in slashes if name[:i] in self._stamps), None)
        if end is None:
            raise OSError(f"there is no shard {name.partition('/')[0]!r}")
        with as_os_error():
            shard = name[:end]
            return _opened(self._folder / shard, self._stamps[shard], self._column)(name[end + 1 :])

    def size(self, name: str) -> int | None:
        """Return `None`: that would take reading it."""
        return None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "names": ()}  # Whoever reads is told the names.


def find_shards(path: Path) -> Shards | None:
    """Return the shards of a folder and those below it, or a single Parquet file of images.

    Returns:
        `None` where it is something else: one file that is neither a shard nor beside them makes a folder of images.

    Raises:
        DatasetError: they are of several kinds.
    """
    if path.is_file():
        return Shards(path.parent, (path.name,)) if _is_table(path.name) and _has_images(path) else None
    if not path.is_dir():
        return None
    names: list[str] = []
    beside: list[str] = []
    for name in walk(path):
        file = PurePosixPath(name)
        is_shard = _SHARD.fullmatch(file.name) is not None
        if file.name in MANIFEST_NAMES or not (is_shard or file.suffix.lower() in _BESIDE):
            return None
        (names if is_shard and file.stem != "metadata" else beside).append(name)
    tables = [name for name in names if _is_table(name)]
    tars = [name for name in names if not _is_table(name)]
    stems = {_stem(name) for name in tars}
    if tables and tars:  # img2dataset writes a table of addresses and captions for each tar.
        if not all(_stem(name) in stems for name in tables):
            raise DatasetError(f"{path} has tar and Parquet files side by side. Open one kind at a time.")
        return Shards(path, tuple(sorted(tars)), tuple(sorted(tables + beside)))
    return Shards(path, tuple(sorted(names)), tuple(sorted(beside))) if names else None


def describes_images(names: Sequence[str]) -> bool:
    """Say whether files lie beside images that say what these are, as in a tar of WebDataset."""
    described = {_stem(name) for name in names if name.endswith((".cls", ".json"))}
    return any(is_picture(name) and _stem(name) in described for name in names)


def open_shards(shards: Shards, labelling: Labelling | None = None) -> tuple[ShardStorage, Manifest]:
    """Open shards, and tell what each image is.

    In a tar, class folders say it, or a `.cls` or `.json` file beside each image, as in WebDataset. A Parquet file has
    a column of image bytes, or of structs with `bytes`, and `label`, and may have others, as a manifest. Without a
    column for it, the split is what a shard's name begins with, or the name of a folder that it lies in.

    Args:
        shards: which.
        labelling: names of columns and classes, where they are not the usual ones.

    Raises:
        DatasetError: a shard cannot be read, or classes cannot be told.
        MissingExtraError: Parquet without pyarrow.
    """
    read = _read_tables if _is_table(shards.names[0]) else _read_tars
    column, manifest = read(shards, labelling or Labelling())
    for name in shards.beside:
        file = PurePosixPath(name)
        reason = ("tables beside shards", file.name) if _is_table(name) else ("no images", file.suffix or file.name)
        manifest.tally.left_out[reason] += 1
    return ShardStorage(shards, manifest.paths, column), manifest


def _is_table(shard: str) -> bool:
    return shard.lower().endswith(".parquet")


def _has_images(path: Path) -> bool:
    require("train", "pyarrow")
    return bool(_image_columns(_schema(path, path.name)))


def _split_of(shard: str) -> str:
    """Return the split that a shard's name begins with, or that is the name of a folder it lies in."""
    path = PurePosixPath(shard)
    word = re.split(r"[^a-z]", path.name.lower(), maxsplit=1)[0]
    if word in SPLIT_NAMES:
        return word
    return next((split for part in reversed(path.parts[:-1]) if (split := split_of(part))), "")


def _folder_of(shard: str) -> str:
    """Return the folders that a shard lies in, but for the usual ones, such as OpenFake's `core` and `reddit`."""
    return "/".join(part for part in PurePosixPath(shard).parts[:-1] if part != "data" and not split_of(part))


def _read_tars(shards: Shards, labelling: Labelling) -> tuple[str, Manifest]:
    storages = {shard: open_storage(shards.folder / shard) for shard in shards.names}
    tally = Tally()
    images = {shard: _images_of(shard, storage.names, labelling, tally) for shard, storage in storages.items()}
    classes = {shard: _classes(shard, storages[shard], labelling) for shard in storages}
    if any(classes.values()):
        return "", _described(shards, images, classes, labelling, tally)
    labelling.refuse_columns(shards.title)
    names = [name for storage in storages.values() for name in storage.names]
    placed = place_files(names, labelling, one_class=True)
    found = [(shard, name, placed.files[name]) for shard in images for name in images[shard] if name in placed.files]
    columns = {
        "label": ["ai" if place.label else "real" for _, _, place in found],
        "split": [place.split or _split_of(shard) for shard, _, place in found],
    }
    groups = [place.group for _, _, place in found]
    generators = [place.generator for _, _, place in found]
    columns |= {name: made for name, made in (("folder", groups), ("generator", generators)) if len(set(made)) > 1}
    plain = Labelling(group_column=labelling.group_column, group_pattern=labelling.group_pattern)
    paths = [f"{shard}/{name}" for shard, name, _ in found]
    manifest = make_manifest(shards.title, list(columns), list(columns.values()), plain, paths)
    return "", _with_tally(manifest, placed.tally)


def _with_tally(manifest: Manifest, tally: Tally) -> Manifest:
    return replace(manifest, tally=tally + manifest.tally)


def _images_of(shard: str, names: Sequence[str], labelling: Labelling, tally: Tally) -> list[str]:
    """Return a tar's images: of WebDataset's samples, the one that is meant.

    Raises:
        DatasetError: a sample has several, and none was chosen.
    """
    described = {_stem(name) for name in names if name.endswith((".cls", ".json"))}
    wanted, found = labelling.image_column, dict[str, str]()
    kept = []
    for name in names:
        suffix = PurePosixPath(name).suffix.lower()
        if name.endswith(_SIDECARS):
            continue
        if is_no_image(name):
            tally.left_out["no images", suffix] += 1
            continue
        stem = _stem(name)
        if stem in described:
            if wanted is not None and name != f"{stem}.{wanted}":
                tally.left_out["other files of samples", name.removeprefix(f"{stem}.")] += 1
                continue
            if stem in found:
                raise DatasetError(
                    f"{shard} has several images of one sample, {found[stem]} and {name}. Choose with "
                    f"--image-column {name.removeprefix(f'{stem}.')} or the like."
                )
            found[stem] = name
        kept.append(name)
    return kept


def _classes(shard: str, storage: Storage, labelling: Labelling) -> dict[str, dict[str, str]]:
    """Return what lies beside a tar's images, by what WebDataset groups files by; nothing where that is no label."""
    found: dict[str, dict[str, str]] = {}
    wanted = {*_KEPT, *filter(None, (labelling.label_column, labelling.split_column, labelling.group_column))}
    for name in storage.names:
        if name.endswith(".cls") and labelling.label_column is None:
            found.setdefault(_stem(name), {})["label"] = storage.read(name).decode("utf-8", "replace").strip()
        elif name.endswith(".json"):
            row = _json(shard, name, storage.read(name))
            said = {key: str(value) for key, value in row.items() if key.lower() in wanted and value is not None}
            found[_stem(name)] = {**said, **found.get(_stem(name), {})}
    labels = {labelling.label_column} if labelling.label_column else {"label", "class", "target"}
    return found if any(key.lower() in labels or key in labels for row in found.values() for key in row) else {}


def _json(shard: str, name: str, data: bytes) -> Mapping[str, object]:
    try:
        row = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{name} in {shard} is not JSON: {error}") from error
    return row if isinstance(row, dict) else {}


def _described(
    shards: Shards,
    images: Mapping[str, Sequence[str]],
    classes: Mapping[str, Mapping[str, Mapping[str, str]]],
    labelling: Labelling,
    tally: Tally,
) -> Manifest:
    rows: list[dict[str, str]] = []
    paths = []
    for shard, names in images.items():
        for name in names:
            said = classes[shard].get(_stem(name))
            if said is None:
                tally.left_out["files with no label beside them", PurePosixPath(name).suffix] += 1
                continue
            folder = {"folder": _folder_of(shard)} if _folder_of(shard) else {}
            rows.append({"split": _split_of(shard), **folder, **said})
            paths.append(f"{shard}/{name}")
    header = list(dict.fromkeys(key for row in rows for key in row))
    values = [[row.get(key, "") for row in rows] for key in header]
    return _with_tally(make_manifest(shards.title, header, values, labelling, paths), tally)


def _stem(name: str) -> str:
    """Return what WebDataset groups files by: all before the first dot of the file's name."""
    head, slash, tail = name.rpartition("/")
    return head + slash + tail.partition(".")[0]


def _schema(path: Path, shard: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{shard} is not a Parquet file: {error}") from error


def _image_columns(schema: Any) -> list[str]:
    return [name for name in schema.names if _holds_bytes(schema.field(name).type)]


def _image_column(shard: str, schema: Any, labelling: Labelling) -> str:
    """Return the column of image bytes: the one that was asked for, `image`, or the only one."""
    there = _image_columns(schema)
    wanted = as_published(schema.names, labelling)[1].image_column
    if wanted is None:
        named = [name for name in there if name.lower() == _IMAGE]
        found = named if len(named) == 1 else there
    else:
        found = [name for name in there if name == wanted]
    if len(found) == 1:
        return found[0]
    several = f" Choose one with --image-column: {', '.join(there)}." if len(there) > 1 else ""
    raise DatasetError(
        f"{shard} has no column {wanted or _IMAGE!r} of bytes; it has {', '.join(schema.names)}.{several}"
    )


def _read_tables(shards: Shards, labelling: Labelling) -> tuple[str, Manifest]:
    require("train", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    header: list[str] = []
    columns: list[list[str]] = []
    paths: list[str] = []
    images: list[str] = []
    first = shards.names[0]
    for shard in shards.names:
        schema = _schema(shards.folder / shard, shard)
        images.append(_image_column(shard, schema, labelling))
        kept = [name for name in schema.names if name not in _image_columns(schema)]
        try:
            with pq.ParquetFile(shards.folder / shard) as file:
                table = file.read(kept)
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{shard} is not a Parquet file: {error}") from error
        rows = {name: [_text(value) for value in table.column(name).to_pylist()] for name in kept}
        for name, known in _class_names(schema).items():
            if name in rows:
                rows[name] = [known.get(int(v), v) if v.lstrip("-").isdigit() else v for v in rows[name]]
        if "split" not in map(str.lower, rows) and labelling.split_column is None:
            rows["split"] = [_split_of(shard)] * table.num_rows
        if any(map(_folder_of, shards.names)):
            rows.setdefault("folder", [_folder_of(shard)] * table.num_rows)
        if header and (header != sorted(rows) or images[-1] != images[0]):
            raise DatasetError(f"{shard} has other columns than {first}.")
        header = sorted(rows)
        columns = columns or [[] for _ in header]
        for column, name in zip(columns, header, strict=True):
            column += rows[name]
        paths += [f"{shard}/{row}" for row in range(table.num_rows)]
    whole = [images[0], *header]  # By all of its columns it is known whose table it is.
    manifest = make_manifest(shards.title, whole, [[""] * len(paths), *columns], labelling, paths)
    manifest.slices.pop(images[0], None)
    for name in _image_columns(schema):
        if name != images[0]:
            manifest.tally.left_out["other columns of bytes", name] += len(paths)
    return images[0], manifest


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    inner = next((kind.field(i).type for i in range(kind.num_fields) if kind.field(i).name == "bytes"), None)
    return any(pa.types.is_binary(t) or pa.types.is_large_binary(t) for t in (kind, inner) if t is not None)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _class_names(schema: Any) -> dict[str, dict[int, str]]:
    """Return what numbers of columns stand for, where Hugging Face's `datasets` wrote it: 0 may be the AI class."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            str(column): {number: str(name) for number, name in enumerate(feature["names"])}
            for column, feature in features.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


@lru_cache(maxsize=2)
def _opened(path: Path, stamp: tuple[int, int], column: str) -> Callable[[str], bytes]:
    """Open a shard once in every process, and return what reads one image of it."""
    if not _is_table(path.name):
        return TarStorage(path).read
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path, memory_map=False)
    counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    starts = [0, *accumulate(counts)]
    nested = file.schema_arrow.field(column).type.num_fields > 0

    @lru_cache(maxsize=1)
    def read_group(group: int) -> Any:
        values = file.read_row_group(group, columns=[f"{column}.bytes" if nested else column]).column(0)
        return values.combine_chunks()

    def read(row: str) -> bytes:
        group = bisect_right(starts, int(row)) - 1
        if not 0 <= group < len(counts):
            raise OSError(f"there is no row {row}")
        value = read_group(group)[int(row) - starts[group]].as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        if data is None:
            raise OSError("the row has no bytes")
        return bytes(data[:_READ_AT_MOST])

    return read
