"""Detections as lines on a terminal."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from rich.console import Console
from rich.text import Text

from pyrite.evidence import NO_PROVENANCE
from pyrite.results import Detection, Reason, Strength, Verdict

_STYLES = {Verdict.AI: "bold red", Verdict.REAL: "bold green", Verdict.UNCERTAIN: "bold yellow"}
_STRENGTHS = {Strength.VERIFIED: "green", Strength.ASSERTED: "yellow", Strength.INFERRED: "dim"}


def write_text(detections: Iterable[Detection], console: Console, *, verbose: bool = False) -> None:
    """Print a line per detection as they come, and with `verbose` the evidence under it."""
    for detection in detections:
        console.print(detection_line(detection))
        for line in evidence_lines(detection) if verbose else ():
            console.print(line)


def detection_line(detection: Detection) -> Text:
    """Return one line: the verdict, the probability of AI, the path, and why where the score is not why."""
    path = printable(detection.path or "(no path)")
    if detection.error:
        return Text.assemble(("error     ", "bold magenta"), "     –  ", path, (f"  {detection.error.message}", "dim"))
    line = budget_line(detection.verdict, detection.probability)
    why = line if detection.reason is Reason.PIXELS else detection.explanation
    score = "–" if detection.probability is None or line else f"{detection.probability:.1%}"
    return Text.assemble(
        (f"{detection.verdict:<10}", _STYLES[detection.verdict]),
        f"{score:>6}  ",
        path,
        (f"  (one frame of {detection.frames:,})" if detection.frames and detection.frames > 1 else "", "dim"),
        (f"  {printable(why)}" if why else "", "dim"),
    )


def budget_line(verdict: Verdict | str, probability: float | None) -> str | None:
    """Return what is said of a score in place of a probability that contradicts its verdict; `None` where it does not.

    The error budgets draw the line between verdicts, which need not be at one half: at a large budget, `ai` begins
    below 50%. decision.js has the same for the page.

    Args:
        verdict: Of the detection.
        probability: Of the detection, 0 to 1, or `None`.
    """
    if probability is not None and verdict == Verdict.AI and probability < 0.5:
        return "above the threshold of your budget"
    if probability is not None and verdict == Verdict.REAL and probability > 0.5:
        return "below the threshold of your budget"
    return None


def summary_line(counts: Mapping[str, int], max_fprs: Collection[float]) -> Text:
    """Return one line that sums a batch up.

    Args:
        counts: how many images had each outcome: a verdict, or `error`.
        max_fprs: the error budgets of the verdicts; bundles may differ.
    """
    total = sum(counts.values())
    parts = [f"{counts.get(key, 0):,} {name}" for key, name in _OUTCOMES.items() if counts.get(key) or key != "error"]
    budget = ""
    if max_fprs:
        lowest, highest = min(max_fprs), max(max_fprs)
        per, whole = (1000, "1,000") if lowest >= 0.001 else (1_000_000, "a million")
        share = f"{per * highest:,.0f} of {whole}"
        if lowest < highest:
            share = f"{per * lowest:,.0f} to {share}, by the bundle,"
        budget = f"; at most about {share} real images similar to the calibration set would be called ai"
    return Text(f"{total:,} image{'' if total == 1 else 's'}: {', '.join(parts)}{budget}.", style="dim")


_OUTCOMES = {"ai": "ai", "real": "real", "uncertain": "uncertain", "error": "could not be read"}


def outcome(detection: Detection) -> str:
    """Return what a detection counts as in a summary."""
    return "error" if detection.error else str(detection.verdict)


def printable(text: str) -> str:
    """Return text that does nothing to a terminal: control characters and lone surrogates are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def evidence_lines(detection: Detection) -> Iterator[Text]:
    """Yield one indented line for each piece of evidence that the first line does not tell already.

    Of several bundles, each has a line with its name.
    """
    several = sum(item.kind == "pixels" for item in detection.evidence) > 1
    if not detection.error and all(item.kind in ("pixels", "frames") for item in detection.evidence):
        yield Text(" " * 18 + NO_PROVENANCE, style="dim")
    for item in detection.evidence:
        of_bundle = f" ({item.data['bundle']})" if several and item.kind == "pixels" else ""
        if item.detail == detection.explanation and detection.reason is not Reason.PIXELS and not of_bundle:
            continue
        style = _STRENGTHS[item.strength]
        said = printable(f"{item.kind}{of_bundle}: {item.detail}")
        yield Text.assemble(" " * 18, (f"{item.strength} ", style), said)
