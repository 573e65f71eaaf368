"""Tables of several detectors' scores: calibrated together, judged by, and measured."""

from pyrite.scores.judge import Judgements, judge, write_judgements
from pyrite.scores.measure import PanelRates, measure
from pyrite.scores.panel import calibrate, calibrate_bundles, describe_panel
from pyrite.scores.report import tabulate, write_rates
from pyrite.scores.table import ScoreTable, describe_scores, read_scores

__all__ = [
    "Judgements",
    "PanelRates",
    "ScoreTable",
    "calibrate",
    "calibrate_bundles",
    "describe_panel",
    "describe_scores",
    "judge",
    "measure",
    "read_scores",
    "tabulate",
    "write_judgements",
    "write_rates",
]
