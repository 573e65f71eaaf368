"""`push`: share a bundle on the Hugging Face Hub, with a model card that the Hub can read."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrite.bundle import MANIFEST, OPTIONAL, REQUIRED, Bundle, format_manifest, load_bundle
from pyrite.bundle.bundle import Content
from pyrite.errors import PyriteError, in_one_line, require
from pyrite.evaluation.stored import read_report
from pyrite.fetching import read_hub_address

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_TOKENS = "https://huggingface.co/settings/tokens"
_TASK = "image-classification"
_TAGS = ("ai-generated-image-detection", "onnx")
_METRICS = (("accuracy", "accuracy", "Accuracy"), ("auroc", "roc_auc", "AUROC"))
"""Of a report: the field, the Hub's identifier, and a name for people."""
_LICENCES = """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 creativeml-openrail-m ecl-2.0 epl-1.0
    epl-2.0 eupl-1.1 gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 mit mpl-2.0 ms-pl ncsa openrail osl-3.0 unlicense
    wtfpl zlib
"""
"""The Hub's identifiers, as huggingface.co/docs/hub/repositories-licenses lists them, of licences for models."""
_UNSTATED = ("not-declared", "not-verified", "unspecified")
_ALLOWS = {"non-commercial": "allows no commercial use", "unclear": "may not allow that"}


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where a bundle went."""

    address: str
    commit: str


def push(
    path: str | Path,
    repository: str,
    *,
    private: bool = False,
    message: str | None = None,
    datasets: Sequence[str] = (),
    licence_allows_it: bool = False,
) -> Pushed:
    """Share a bundle on the Hugging Face Hub, in one commit.

    The repository is made where it is missing. Files of an earlier bundle that this one lacks are removed from it.

    Args:
        path: Of the bundle, as `load_bundle` takes it.
        repository: `hf:OWNER/NAME`.
        private: Whether a new repository is.
        message: Of the commit.
        datasets: What trained it, by the Hub's identifiers.
        licence_allows_it: Whether the user knows that the licence of a model by others allows it.

    Raises:
        BundleError: It is missing, damaged or not understood.
        MissingExtraError: The extra `hub` is not installed.
        PyriteError: It may not be shared, or the Hub cannot be reached or refuses.
    """
    name = repository.removeprefix("hf:")
    if name == repository or not _REPOSITORY.fullmatch(name):
        raise PyriteError(f"{repository} is not of the form hf:OWNER/NAME.")
    for dataset in datasets:
        if not _REPOSITORY.fullmatch(dataset):
            raise PyriteError(f"{dataset} is not of the form OWNER/NAME, as data sets of the Hub are called.")
    require("hub", "huggingface_hub")
    bundle = load_bundle(path)
    origin = bundle.info.origin
    if origin and origin.allows != "free" and not licence_allows_it:
        raise PyriteError(
            f"{bundle.info.name} is by others, and its licence {_ALLOWS[origin.allows]}: {bundle.info.licence}. "
            "If you know that you may share it, add --licence-allows-it."
        )
    content: dict[str, Content] = {file: bundle.content(file) for file in bundle.info.files}
    content |= {MANIFEST: format_manifest(bundle.info), "README.md": hub_card(bundle, datasets).encode()}
    return _commit(name, content, private, message or f"{bundle.info.name} {bundle.info.version}")


def hub_card(bundle: Bundle, datasets: Sequence[str] = ()) -> str:
    """Return the content of README.md: the bundle's card, below the Hub's metadata.

    Raises:
        BundleError: The bundle's report is not understood.
    """
    from huggingface_hub import ModelCardData

    info, results = bundle.info, _results(bundle)
    licence, licence_name = _licence(info.licence)
    on_hub = read_hub_address(info.origin.source) if info.origin else None
    data = ModelCardData(
        model_name=info.name if results else None,
        license=licence,
        license_name=licence_name,
        library_name="pyrite",
        pipeline_tag=_TASK,
        tags=list(_TAGS),
        datasets=list(datasets) or None,
        base_model=on_hub.repository if on_hub else None,
        metrics=[result.metric_type for result in results] or None,
        eval_results=results or None,
    )
    title = f"# {info.name} {info.version}\n"
    card = bundle.files.get("card.md", b"").decode("utf-8", "replace")
    return f"---\n{data.to_yaml()}\n---\n\n{card or title}"


def _licence(licence: str) -> tuple[str, str | None]:
    """Return the Hub's identifier of a licence, and a name if it has none."""
    # What a model was trained on is no part of its own licence; the card tells it.
    named = re.sub(r"[^a-z0-9.]+", "-", licence.partition("; trained on ")[0].lower()).strip("-")
    if named in _LICENCES.split():
        return named, None
    return ("unknown", None) if named in _UNSTATED else ("other", named or "unnamed")


def _results(bundle: Bundle) -> list[Any]:
    """Return the figures on a bundle's own test split, as the Hub takes them."""
    from huggingface_hub import EvalResult

    report = read_report(bundle)
    if report is None or report.provenance is None:
        return []
    data, headline = report.provenance.data, (report.deduplicated or report.as_is).headline
    return [
        EvalResult(
            task_type=_TASK,
            dataset_type=Path(data).stem,
            dataset_name=data,
            dataset_split="test",
            metric_type=identifier,
            metric_name=name,
            metric_value=round(metric.value, 4),
        )
        for field, identifier, name in _METRICS
        if (metric := getattr(headline, field))
    ]


def _commit(repository: str, content: dict[str, Content], private: bool, message: str) -> Pushed:
    """Upload files, and delete other bundle files from the repository.

    Raises:
        PyriteError: There is no token, it is refused, the repository is not private, or the Hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token

    api = HfApi()
    operations: list[Any] = [CommitOperationAdd(name, content[name]) for name in sorted(content)]
    try:
        if get_token() is None:
            raise PyriteError(
                f"There is no token for the Hub. Make one that may write at {_TOKENS}, and log in with "
                "`hf auth login`, or set HF_TOKEN."
            )
        address = api.create_repo(repository, private=private or None, exist_ok=True)
        if private and not api.model_info(repository).private:
            raise PyriteError(
                f"{repository} already exists, and everyone can read it. Choose another name, or leave out --private."
            )
        there = set(api.list_repo_files(repository))
        stale = there & {*REQUIRED, *OPTIONAL} - content.keys()
        operations += [CommitOperationDelete(name) for name in sorted(stale)]
        commit = api.create_commit(repository, operations, commit_message=message)
    except PyriteError:
        raise
    except Exception as error:  # The library's own, of requests and of the disk, of many kinds.
        raise PyriteError(_reason(repository, error)) from error
    return Pushed(str(address), str(commit.oid))


def _reason(repository: str, error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return f"The Hub does not accept the token. Make another that may write at {_TOKENS}."
    if status == 403:
        return f"The token has no right to write to {repository}. Make one that has at {_TOKENS}, or ask its owner."
    told = in_one_line(error, 300).rstrip(".")
    return f"{repository} cannot be pushed to the Hub: {told}."
