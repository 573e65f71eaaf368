"""What could inflate a score on a dataset, found before anyone trains."""

from pyrite.auditing.audit import Audit, audit

__all__ = ["Audit", "audit"]
