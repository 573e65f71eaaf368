"""The bundle's card: what it is for, what it is not for, and its figures."""

import re
from functools import cache

import jinja2

from pyrite.bundle import Bundle, BundleInfo, Novelty
from pyrite.evaluation import Report
from pyrite.evaluation.floor import FAMILIES
from pyrite.evaluation.metrics import Metric
from pyrite.graph import Cost
from pyrite.publishing.novelty import LEAST

_HEADLINE = (
    ("accuracy", "Accuracy"),
    ("auroc", "AUROC"),
    ("average_precision", "Average precision"),
    ("tpr_at_fpr_1", "TPR at 1% FPR"),
    ("ece", "Expected calibration error"),
    ("brier", "Brier score"),
)

_NOTE = re.compile(r"^## (?:Recalibration|Calibrated anew)$", re.MULTILINE)  # Older cards have the second.


def write_card(info: BundleInfo, report: Report, novelty: Novelty | None, cost: Cost | None) -> str:
    """Return the Markdown of card.md; its figures leave out copies, unless nothing else is left."""
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            info=info,
            novelty=novelty,
            cost=cost,
            needed=LEAST,
            preprocess=info.preprocess,
            geometry=info.preprocess.__struct_config__.tag,
            training=info.training,
            quantization=info.quantization,
            report=report,
            figures=report.deduplicated or report.as_is,
            headline=_HEADLINE,
            families=FAMILIES,
        )
    )


def write_import_card(info: BundleInfo) -> str:
    """Return the Markdown of card.md for an imported model."""
    return _environment().get_template("import-card.md.j2").render(info=info, origin=info.origin)


def write_calibration_note(bundle: Bundle, data: str, real: int, ai: int) -> str:
    """Return the Markdown of card.md for a recalibrated bundle.

    Args:
        bundle: As it was before, with its card.
        data: The name of the dataset that recalibrated it.
        real: Its number of real images.
        ai: Its number of AI images.
    """
    card = _NOTE.split(bundle.files.get("card.md", b"").decode("utf-8", "replace"))[0].rstrip()
    images = f"{real:,} real" + (f" and {ai:,} AI" if ai else "") + f" images of {data}"
    told = f"Calibrated with {images}. Verdicts use this calibration. Any figures above are from an earlier one."
    return f"{card or f'# {bundle.info.name} {bundle.info.version}'}\n\n## Recalibration\n\n{told}\n"


def describe_novelty(novelty: Novelty | None) -> str:
    """Return Markdown on which images a bundle calls unusual."""
    if novelty is None:
        told = "This bundle cannot tell when an image looks unlike the calibration images."
    else:
        groups = " and ".join(f"{len(group.merged):,} of them {name}" for name, group in novelty.groups.items())
        told = (
            f"An image that looks more unusual than {_percent(1 - novelty.rate)} of the calibration images gets "
            f"`uncertain`, whatever its score. It is compared with {groups}."
        )
    return f"## Novelty\n\n{told}\n"


def describe_calibration(info: BundleInfo) -> str:
    """Return Markdown on what calibrated a bundle, and which error budget it keeps in each group."""
    calibration, policy = info.calibration, info.policy
    rows = [
        f"| {kept.kind}, {kept.group} | {kept.images:,} | {_percent(kept.smallest)} | {_percent(kept.wrong)} |"
        for kept in calibration.kept(policy)
    ]
    lines = ["## Calibration", ""]
    if not rows:
        lines.append("This bundle is not calibrated: its verdict is always `uncertain`.")
        if info.origin and info.origin.threshold is not None:
            lines.append(f"Its authors call an image AI if its score is above {info.origin.threshold:g}.")
        return "\n".join(lines) + "\n"
    budgets = f"At most {_percent(policy.max_fpr)} of real images are called `ai`"
    budgets += (
        f", and at most {_percent(policy.max_fnr)} of AI images `real`, in each group." if calibration.ai else "."
    )
    lines += [
        budgets,
        "",
        "| group | images | smallest budget | wrong verdicts |",
        "| --- | ---: | ---: | ---: |",
        *rows,
    ]
    if not calibration.ai:
        lines += [
            "",
            "It was calibrated on real images only, so it says `ai` or `uncertain`, and gives no probability.",
        ]
    for sentence in calibration.too_few(policy):
        lines += ["", sentence]
    return "\n".join(lines) + "\n"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pyrite.publishing"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # It is Markdown.
    )
    environment.filters.update(
        count=lambda number: f"{number:,}",
        figure=lambda value: "–" if value is None else f"{value:.4f}",
        percent=_percent,
        millions=lambda number: f"{number / 1e6:,.{2 if number < 1e7 else 1}f} million",
        cells=_cells,
    )
    return environment


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _cells(metric: Metric | None) -> str:
    if metric is None:
        return "– |"
    return f"{metric.value:.4f} | {metric.low:.4f} to {metric.high:.4f}"
