"""Processes for what strangers sent: they can be killed at any time, and can do no harm meanwhile."""

from pyrite.sandbox.answers import load_answer
from pyrite.sandbox.kernel import confine, missing
from pyrite.sandbox.process import Ended, Process
from pyrite.sandbox.spawning import AnswersContext, begin_confined, begin_from, begin_telling, tell

__all__ = [
    "AnswersContext",
    "Ended",
    "Process",
    "begin_confined",
    "begin_from",
    "begin_telling",
    "confine",
    "load_answer",
    "missing",
    "tell",
]
