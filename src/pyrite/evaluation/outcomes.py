"""What a detector said of each image of a dataset, and `scores.parquet`, which keeps it for comparisons."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import content_sha256
from pyrite.detector import Detector
from pyrite.errors import EvaluationError
from pyrite.evaluation.choose import Chosen
from pyrite.evaluation.judge import Judged, UnreadableFile, rank_by_p_values, ranked_without, values_of
from pyrite.evaluation.scores import Floats, Scores
from pyrite.provenance import current_command, source_commit
from pyrite.sources import encodable

SCORES = "scores.parquet"
"""What `evaluate` calls the file."""
_KEY = b"pyrite"  # of the metadata
_SLICE = "slice:"
_NUMBERS = ("logit", "probability", "p_real", "p_ai")


class ScoresInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where outcomes came from: the metadata of `scores.parquet`."""

    format: Literal[1] = 1
    bundle: str
    version: str
    sha256: str
    """`Bundle.sha256`, or of several `Panel.sha256`."""
    data: str
    data_sha256: str
    """Of the content and labels of the whole data set, or of the images that were drawn from it."""
    drawn: bool = False
    """Whether a limit drew the images, and no others were read."""
    max_fpr: float
    """The error budget of the verdicts."""
    no_probability: str | None
    """Why there are no probabilities; `None` where there are."""
    caution: str | None
    """What speaks against taking the figures at face value."""
    unreadable: tuple[UnreadableFile, ...]
    command: str
    commit: str | None


@dataclass(frozen=True)
class Outcomes:
    """What a detector said of n images; an absent number is NaN."""

    info: ScoresInfo
    paths: tuple[str, ...]
    hashes: tuple[str, ...]
    """(n,), hexadecimal SHA-256."""
    labels: NDArray[np.int8]
    """(n,), 0 for real and 1 for AI."""
    slices: dict[str, tuple[str, ...]]
    """(n,) values of each further column of the data."""
    numbers: dict[str, Floats]
    """(n,) each: `logit` and `probability`, also where they decide nothing, `p_real` and `p_ai`."""
    verdicts: NDArray[np.str_]
    reasons: tuple[str, ...]
    seconds: float | None = None
    """To read and judge them; `None` where that was elsewhere."""

    @property
    def scores(self) -> Scores:
        """What figures are made of, ranked as `values_of` ranks."""
        logits, probabilities, p_real, p_ai = (self.numbers[name] for name in _NUMBERS)
        ranked = next((known for known in (probabilities, logits) if not np.isnan(known).any()), None)
        values = rank_by_p_values(p_real, p_ai) if ranked is None else ranked
        return Scores(self.labels, values, self.verdicts, ranked is probabilities)


def outcomes_of(detector: Detector, chosen: Chosen, judged: Judged) -> Outcomes:
    """Return what a detector said of the chosen images, with where that came from."""
    dataset, kept, said = chosen.dataset, judged.indices, judged.detections
    why = ranked_without(detector)
    absent = np.full(len(kept), np.nan)
    return Outcomes(
        info=ScoresInfo(
            bundle=detector.model.name,
            version=detector.model.version,
            sha256=detector.panel.sha256 if detector.is_merged else detector.bundle.sha256,
            data=encodable(dataset.name),
            data_sha256=content_sha256(dataset, chosen.hashes),
            drawn=chosen.part.drawn,
            max_fpr=said[0].max_fpr,
            no_probability=why and f"{why}, and figures that need one are left out.",
            caution=chosen.part.caution,
            unreadable=judged.unreadable,
            command=current_command(),
            commit=source_commit(),
        ),
        paths=tuple(encodable(dataset.paths[i]) for i in kept),
        hashes=tuple(chosen.hashes[i] for i in kept),
        labels=dataset.labels[kept],
        slices={name: tuple(encodable(values[i]) for i in kept) for name, values in dataset.slices.items()},
        numbers={
            # A panel's members each have a logit of their own.
            "logit": absent if detector.is_merged else np.array([one.logit for one in said], np.float64),
            "probability": values_of(detector, said) if detector.gives_probability else absent,
            "p_real": np.array([one.p_real for one in said], np.float64),
            "p_ai": np.array([one.p_ai for one in said], np.float64),
        },
        verdicts=np.array([str(one.verdict) for one in said]),
        reasons=tuple(str(one.reason) for one in said),
        seconds=judged.seconds,
    )


def pack_outcomes(outcomes: Outcomes) -> bytes:
    """Return a `scores.parquet`: a row for each image, and the info as JSON in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {
        "path": outcomes.paths,
        "sha256": outcomes.hashes,
        "label": outcomes.labels,
        **{_SLICE + name: values for name, values in outcomes.slices.items()},
        **{name: pa.array(outcomes.numbers[name], from_pandas=True) for name in _NUMBERS},  # NaN is null.
        "verdict": outcomes.verdicts.tolist(),
        "reason": outcomes.reasons,
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: msgspec.json.encode(outcomes.info)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def read_outcomes(path: Path) -> Outcomes:
    """Read what `pack_outcomes` packed.

    Raises:
        EvaluationError: The file is missing, damaged or not understood.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(path.read_bytes()))
        info = msgspec.json.decode((table.schema.metadata or {}).get(_KEY, b""), type=ScoresInfo)
        numbers = {
            name: np.asarray(table[name].cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
            for name in _NUMBERS
        }
        texts = {
            name: tuple(table[name].cast(pa.string()).to_pylist())
            for name in table.column_names
            if name in ("path", "sha256", "verdict", "reason") or name.startswith(_SLICE)
        }
        outcomes = Outcomes(
            info=info,
            paths=texts["path"],
            hashes=texts["sha256"],
            labels=np.array(table["label"].to_pylist(), np.int8),
            slices={name.removeprefix(_SLICE): texts[name] for name in texts if name.startswith(_SLICE)},
            numbers=numbers,
            verdicts=np.array(texts["verdict"], np.str_),
            reasons=texts["reason"],
        )
        _ = outcomes.scores  # which refuses what cannot be.
    except (OSError, ValueError, TypeError, OverflowError, KeyError, msgspec.DecodeError, EvaluationError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise EvaluationError(f"{path} is no {SCORES} that this version understands: {why}.") from error
    return outcomes
