"""From verdicts to what becomes of an image: keep, quarantine or drop, by rules in a file."""

import tomllib
from typing import Annotated, Literal

import msgspec

from pyrite.errors import ScanError
from pyrite.results import Detection, Reason, Verdict

Action = Literal["keep", "quarantine", "drop"]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What becomes of the images that meet every condition that is given."""

    action: Action
    verdict: tuple[Verdict, ...] = ()
    """Any of these; empty for any at all."""
    reason: tuple[Reason, ...] = ()
    """Any of these; empty for any at all."""
    min_probability: _Share | None = None
    max_probability: _Share | None = None
    note: str = ""
    """Put beside the action, instead of the conditions."""

    def __post_init__(self) -> None:
        if not (self.verdict or self.reason or self.min_probability is not None or self.max_probability is not None):
            raise ValueError("a rule needs a condition; what becomes of the rest is `otherwise`")

    def meets(self, found: Detection) -> bool:
        """Say whether an image meets every condition; one without a probability meets none about that."""
        low = 0.0 if self.min_probability is None else self.min_probability
        high = 1.0 if self.max_probability is None else self.max_probability
        bounded = self.min_probability is not None or self.max_probability is not None
        return (
            (not self.verdict or found.verdict in self.verdict)
            and (not self.reason or found.reason in self.reason)
            and (not bounded or (found.probability is not None and low <= found.probability <= high))
        )

    def because(self, number: int) -> str:
        """Return why an image got this rule's action, where the rule is the `number`th."""
        if self.note:
            return f"rule {number}: {self.note}"
        conditions = [
            *([f"verdict {' or '.join(self.verdict)}"] if self.verdict else []),
            *([f"reason {' or '.join(self.reason)}"] if self.reason else []),
            *([f"probability at least {self.min_probability:g}"] if self.min_probability is not None else []),
            *([f"probability at most {self.max_probability:g}"] if self.max_probability is not None else []),
        ]
        return f"rule {number}: {', '.join(conditions)}"


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A policy: the first rule that an image meets decides."""

    otherwise: Action
    rules: tuple[Rule, ...]

    @property
    def need_probability(self) -> bool:
        """Whether any of them asks for a probability."""
        return any(rule.min_probability is not None or rule.max_probability is not None for rule in self.rules)

    def apply(self, found: Detection) -> tuple[Action, str]:
        """Return what becomes of an image, and why."""
        for number, rule in enumerate(self.rules, start=1):
            if rule.meets(found):
                return rule.action, rule.because(number)
        return self.otherwise, "otherwise"


def read_rules(data: bytes, name: str) -> Rules:
    """Read a policy from the content of a TOML file.

    Raises:
        ScanError: It is not valid; the sentence says where.
    """
    try:
        return msgspec.convert(tomllib.loads(data.decode()), Rules)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ScanError(f"{name} is not a valid policy: {error}.") from error
