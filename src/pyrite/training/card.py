"""The bundle's card: what it is for, what it is not, and its figures."""

from pyrite.bundle import BundleInfo
from pyrite.evaluation import Report
from pyrite.evaluation.metrics import Metric

_FIGURES = {
    "accuracy": "Accuracy",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "tpr_at_fpr_1": "TPR at 1% FPR",
    "ece": "Expected calibration error",
    "brier": "Brier score",
}


def write_card(info: BundleInfo, report: Report) -> str:
    """Return the Markdown of card.md."""
    training = info.training
    lines = [
        f"# {info.name} {info.version}",
        "",
        "Tells AI-generated images from real ones by their pixels alone.",
        "",
        f"- Made for: {info.scope.description} Others get the verdict `uncertain`.",
        f"- Licence: {info.licence}",
    ]
    size = info.preprocess
    if (info.scope.min_side, info.scope.max_side) != (min(size.size), max(size.size)):
        lines.insert(-1, f"- Images of other sizes than {size.width} × {size.height} are resized to that first.")
    if training:
        data = training.data
        lines += [
            f"- Trained on {data.train:,} images of {data.name} ({data.protocol} split), with {data.validation:,} for "
            "early stopping and calibration",
            f"- Recipe `{training.recipe}`, seed {training.seed}, {training.epochs} epochs: `{training.command}`",
        ]
    lines += ["", f"## On the {report.as_is.headline.images:,} images of its test split", ""]
    lines += ["| | value | 95% interval |", "| --- | --- | --- |"]
    for key, name in _FIGURES.items():
        metric: Metric | None = getattr(report.as_is.headline, key)
        if metric:
            lines.append(f"| {name} | {metric.value:.4f} | {metric.low:.4f} to {metric.high:.4f} |")
    if floor := report.floor.best:
        lines += [
            "",
            f"On the same images, shortcuts reach an AUROC of {floor.auroc.value:.4f} and an accuracy of "
            f"{floor.accuracy.value:.4f} without a look at the picture: facts of the file, global statistics and the "
            "spectrum.",
        ]
    lines += [
        "",
        f"At an error budget of {report.max_fpr:.0%}:",
        "",
        "| | called AI | uncertain | called real |",
        "| --- | --- | --- | --- |",
    ]
    for name, row in zip(("real images", "AI images"), report.as_is.verdicts, strict=True):
        lines.append(f"| {name} | {row.ai:,} | {row.uncertain:,} | {row.real:,} |")
    lines += [
        "",
        "## What it is not for",
        "",
        "- Images of other generators, cameras or sizes than those of its training data: the figures above say nothing "
        "of them.",
        "- Images that were re-saved, resized or edited since, unless the report shows such figures.",
        "- Proof. A verdict is an estimate with an error rate, and an image can be made to mislead it.",
        "",
    ]
    return "\n".join(lines)
