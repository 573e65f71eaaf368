"""Matched fakes: photographs and their own reconstructions, to train detectors of traces with."""

from pyrite.matching.histories import HISTORIES
from pyrite.matching.match import match
from pyrite.matching.records import MatchInfo
from pyrite.matching.tune import TunedDecoder, tune_decoder

__all__ = ["HISTORIES", "MatchInfo", "TunedDecoder", "match", "tune_decoder"]
