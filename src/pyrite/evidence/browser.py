"""What a browser goes by to judge content credentials as it is done here: patterns, terms, names and trust lists."""

import re
from typing import Any

from pyrite.evidence.capture import HARMLESS_ACTIONS
from pyrite.evidence.credentials import ADDRESS
from pyrite.evidence.manifest import CLAIM_CHANGED, CONTENT_CHANGED
from pyrite.evidence.names import name_rules
from pyrite.evidence.source_types import AI_EXTENTS, BY_NAME, CAPTURE_TYPES, DID, TERMS
from pyrite.evidence.statements import AI_ASSERTION, CHANGED, EDITS, GENERATED, NOT_AI, STARTS, WATERMARK
from pyrite.evidence.trust import ListKind, Trust
from pyrite.evidence.validation import settings_for


def credential_rules(trust: Trust) -> dict[str, Any]:
    """Return what decides how content credentials are judged, as plain values; patterns are as JavaScript takes them.

    Args:
        trust: Whose signatures count as verified.
    """
    names = name_rules()
    patterns = {
        "address": ADDRESS,
        "ai_assertion": AI_ASSERTION,
        "changed": CHANGED,
        "claim_changed": CLAIM_CHANGED,
        "content_changed": CONTENT_CHANGED,
        "generated": GENERATED,
        "name": names["pattern"],
        "watermark": WATERMARK,
    }
    return {
        "patterns": {name: _for_javascript(pattern) for name, pattern in patterns.items()},
        "names": {"words": names["words"], "companies": names["companies"]},
        "terms": list(TERMS),
        "terms_by_name": BY_NAME,
        "ai_extents": AI_EXTENTS,
        "capture_types": sorted(CAPTURE_TYPES),
        "did": DID,
        "harmless_actions": sorted(HARMLESS_ACTIONS),
        "starts": sorted(STARTS),
        "edits": sorted(EDITS),
        "not_ai": sorted(NOT_AI),
        "settings": settings_for(trust, ListKind.SIGNERS, ListKind.TIMES),
        "lists": [
            {
                "name": item.name,
                "kind": item.kind,
                "dated": item.dated,
                "issued": item.issued,
                "next_update": item.next_update,
                "allowed": bool(item.allowed),
            }
            for item in trust.lists
        ],
    }


def _for_javascript(pattern: re.Pattern[Any]) -> tuple[str, str]:
    """Return a pattern and its flags as JavaScript writes them."""
    source = pattern.pattern.decode() if isinstance(pattern.pattern, bytes) else str(pattern.pattern)
    flags = {"i": re.IGNORECASE, "s": re.DOTALL}
    return source.replace("(?P<", "(?<"), "".join(letter for letter, flag in flags.items() if pattern.flags & flag)
