"""What a file says of itself: content credentials, traces of generators, marks in its pixels, a camera's notes."""

from pyrite.evidence.browser import credential_rules, metadata_rules
from pyrite.evidence.compression import read_compression
from pyrite.evidence.credentials import missing_readers
from pyrite.evidence.read import NO_PROVENANCE, read_evidence, read_file_evidence
from pyrite.evidence.trust import NOTES as TRUST_NOTES
from pyrite.evidence.trust import Trust, TrustList, describe_trust, load_trust, trust_of
from pyrite.evidence.trust_update import UPDATED, update_list
from pyrite.evidence.watermarks import describe_marks, fetch_weights

__all__ = [
    "NO_PROVENANCE",
    "TRUST_NOTES",
    "UPDATED",
    "Trust",
    "TrustList",
    "credential_rules",
    "describe_marks",
    "describe_trust",
    "fetch_weights",
    "load_trust",
    "metadata_rules",
    "missing_readers",
    "read_compression",
    "read_evidence",
    "read_file_evidence",
    "trust_of",
    "update_list",
]
