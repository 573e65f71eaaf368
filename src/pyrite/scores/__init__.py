"""Tables of scores of detectors that run elsewhere: calibrated together, judged by, and measured."""

from pyrite.scores.judge import Judgements, judge, write_judgements
from pyrite.scores.measure import PanelRates, measure
from pyrite.scores.panel import ScorePanel, calibrate, describe_panel, load_panel, save_panel
from pyrite.scores.report import tabulate, write_rates
from pyrite.scores.table import ScoreTable, describe_scores, read_scores

__all__ = [
    "Judgements",
    "PanelRates",
    "ScorePanel",
    "ScoreTable",
    "calibrate",
    "describe_panel",
    "describe_scores",
    "judge",
    "load_panel",
    "measure",
    "read_scores",
    "save_panel",
    "tabulate",
    "write_judgements",
    "write_rates",
]
