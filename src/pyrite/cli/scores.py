"""`pyrite scores`: one error budget for detectors that run elsewhere, by tables of their scores."""

from pathlib import Path
from typing import Annotated

import typer

from pyrite.cli.shared import (
    HalvesOption,
    KeepOption,
    MergeOption,
    Merging,
    SeedOption,
    check_budget,
    check_budgets,
    stdout,
    tell_lines,
    tell_panel,
)
from pyrite.errors import EvaluationError

tables = typer.Typer(
    no_args_is_help=True,
    help="Combine detectors that run elsewhere under one error budget, from tables of their scores.",
)

TableArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TABLE",
        help="CSV or Parquet with one row per image: image, label (real or ai, or 0 and 1), optionally group, and a "
        "column of scores for each detector, where higher means AI. Blank means no score.",
    ),
]
PanelOption = Annotated[
    Path, typer.Option("--panel", metavar="FILE", help="A panel made by `pyrite scores calibrate`.")
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="COLUMN",
        help="Column with the kind or source of each image. Default: `group`, if there is one.",
    ),
]
PooledOption = Annotated[bool, typer.Option("--pooled", help="Treat all images as one group.")]


@tables.command()
def calibrate(
    table: TableArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Output file for the panel, as JSON.")],
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…", help="Columns of scores to use. Default: all columns except image, label and group."
        ),
    ] = None,
    merge: MergeOption = Merging.FISHER,
    group: GroupOption = None,
    pooled: PooledOption = False,
    halves: HalvesOption = False,
    keep: KeepOption = 2000,
    seed: SeedOption = 0,
) -> None:
    """Combine several detectors into a panel, from their scores on images that trained none of them.

    Real images are enough: they set the error budget. With groups, the budget holds in each of them. AI images let the
    panel say `real` as well. Scores are used as they are; a warning names any detector that seems to be inverted.

    Example: `pyrite scores calibrate scores.csv --out panel.json`
    """
    from pyrite.bundle import save_panel
    from pyrite.scores import calibrate as run
    from pyrite.scores import read_scores

    names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    read = read_scores(table, columns=names, group=group, pooled=pooled)
    panel = run(read, merge=merge.value, halves=halves, seed=seed, keep=keep)
    save_panel(panel, out)
    tell_panel(panel, read, out)


@tables.command()
def judge(
    table: TableArgument,
    panel: PanelOption,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Output file for the verdicts, as CSV.")],
    max_fpr: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            callback=check_budget,
            help="Error budget: the share of real images that may be called ai. Default: 0.05.",
        ),
    ] = None,
) -> None:
    """Judge images by the scores of a panel's detectors.

    The table needs no labels. Each image gets a verdict, the p-values behind it, and the p-values of each detector.

    Example: `pyrite scores judge new.csv --panel panel.json --max-fpr 0.01 --out verdicts.csv`
    """
    from pyrite.bundle import load_panel
    from pyrite.decision import Policy
    from pyrite.scores import describe_scores, read_scores, write_judgements
    from pyrite.scores import judge as run

    fitted = load_panel(panel)[0].calibration
    policy = Policy() if max_fpr is None else Policy(max_fpr=max_fpr)
    short = fitted.too_few(policy)
    if max_fpr is not None and short and fitted.smallest_p_real > max_fpr:
        raise EvaluationError(f"{short[0]} --max-fpr must be at least {fitted.smallest_p_real:.2g}.")
    read = read_scores(table, columns=fitted.members, labelled=False)
    found = run(read, fitted, policy)
    write_judgements(found, out)
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in found.counts.items())
    stdout.print(f"{len(found.images):,} images: {counts}, at an error budget of {policy.max_fpr:.3g}.")
    stdout.print(f"Verdicts: {out}")
    tell_lines((*short, *describe_scores(read)))


@tables.command()
def evaluate(
    table: TableArgument,
    panel: PanelOption,
    max_fpr: Annotated[
        list[float] | None,
        typer.Option(
            metavar="RATE",
            callback=check_budgets,
            help="An error budget; may be repeated. Default: 0.001, 0.01 and 0.05.",
        ),
    ] = None,
    group: GroupOption = None,
    pooled: PooledOption = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write every figure as JSON.")] = None,
) -> None:
    """Measure a panel on labelled images that did not calibrate it.

    For each error budget, this prints the shares of real and of AI images that the panel calls ai, with 95% intervals.
    It prints the same for each detector by itself, and for each group.

    Example: `pyrite scores evaluate test.csv --panel panel.json --max-fpr 0.01 --max-fpr 0.05`
    """
    from pyrite.bundle import load_panel
    from pyrite.decision import Policy
    from pyrite.scores import describe_scores, measure, read_scores, tabulate, write_rates

    budgets = list(max_fpr or (0.001, 0.01, 0.05))
    loaded, panel_sha256 = load_panel(panel)
    read = read_scores(table, columns=loaded.calibration.members, group=group, pooled=pooled)
    found = measure(read, loaded.calibration, budgets)
    for shown in tabulate(found, budgets):
        stdout.print(shown)
    short = (line for budget in budgets for line in loaded.calibration.too_few(Policy(max_fpr=budget)))
    told = list(dict.fromkeys([*short, *describe_scores(read)]))
    if read.sha256 == loaded.data_sha256:
        told.append("These images calibrated this panel, so the figures do not show how it does on other images.")
    tell_lines(told)
    if out:
        write_rates(found, out, table=read.name, table_sha256=read.sha256, panel_sha256=panel_sha256, told=told)
        stdout.print(f"Figures: {out}")
