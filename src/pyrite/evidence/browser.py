"""What a browser goes by to judge what a file says as it is done here: patterns, terms, names and trust lists."""

import re
from collections.abc import Mapping
from typing import Any

from pyrite.evidence import camera, iptc, labels
from pyrite.evidence.capture import HARMLESS_ACTIONS
from pyrite.evidence.credentials import ADDRESS
from pyrite.evidence.exif import TEXTS
from pyrite.evidence.generator import IPTC
from pyrite.evidence.manifest import CLAIM_CHANGED, CONTENT_CHANGED
from pyrite.evidence.names import CREDIT_FIELDS, EDITED, SOFTWARE_FIELDS, name_rules
from pyrite.evidence.prompts import a1111, comfyui, invokeai, json_forms, made, services
from pyrite.evidence.source_types import AI_EXTENTS, BY_NAME, CAPTURE_TYPES, DID, TERMS
from pyrite.evidence.statements import AI_ASSERTION, CHANGED, EDITS, GENERATED, NOT_AI, STARTS, WATERMARK
from pyrite.evidence.trust import ListKind, Trust
from pyrite.evidence.validation import settings_for


def credential_rules(trust: Trust) -> dict[str, Any]:
    """Return what decides how content credentials are judged, as plain values; patterns are as JavaScript takes them.

    Args:
        trust: Whose signatures count as verified.
    """
    patterns: dict[str, re.Pattern[Any]] = {
        "address": ADDRESS,
        "ai_assertion": AI_ASSERTION,
        "changed": CHANGED,
        "claim_changed": CLAIM_CHANGED,
        "content_changed": CONTENT_CHANGED,
        "generated": GENERATED,
        "watermark": WATERMARK,
    }
    return {
        **_rules(patterns),
        "capture_types": sorted(CAPTURE_TYPES),
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


def metadata_rules() -> dict[str, Any]:
    """Return what decides how all other metadata is judged, in the same way."""
    patterns = {
        "a1111_escaped": a1111.ESCAPED,
        "a1111_forge": a1111.FORGE,
        "a1111_named": a1111.NAMED,
        "a1111_negative": a1111.NEGATIVE,
        "a1111_pair": a1111.PAIR,
        **{f"a1111 {key}": pattern for key, pattern in a1111.SETTINGS.items()},
        "camera": camera.NAME,
        "comfyui": comfyui.GENERATING,
        "flux": services.FLUX,
        "fooocus": json_forms.FOOOCUS,
        "grok": services.GROK,
        "invokeai": invokeai.GENERATES,
        "invokeai_brackets": invokeai.BRACKETS,
        "invokeai_mode": invokeai.MODE,
        "invokeai_option": invokeai.OPTION,
        "job": services.JOB,
        "label_code": labels.CODE,
        "prefix": made.PREFIX,
        "uuid": re.compile(services.UUID),
    }
    return {
        **_rules(patterns),
        "software_fields": sorted(SOFTWARE_FIELDS),
        "credit_fields": sorted(CREDIT_FIELDS),
        "ai_properties": IPTC,
        "exif_texts": list(dict.fromkeys(("UserComment", *TEXTS))),
        "iptc_names": {str(number): name for number, name in iptc.NAMES.items()},
        "camera_settings": camera.SETTINGS,
        "exposure": list(camera.EXPOSURE),
        "label": {
            "meanings": labels.MEANINGS,
            "words": labels.WORDS,
            "others": sorted(labels.OTHERS),
            "producers": {code: [item.name, item.company] for code, item in labels.all_producers().items()},
        },
        "nested": list(made.NESTED),
        "a1111": {"default": a1111.DEFAULT, "writers": a1111.WRITERS, "settings": list(a1111.SETTINGS)},
        "comfyui": {
            "beside": sorted(comfyui.BESIDE),
            "starts": comfyui.STARTS,
            "texts": comfyui.TEXTS,
            "models": comfyui.MODELS,
            "seeds": comfyui.SEEDS,
        },
        "novelai": [sorted(keys) for keys in json_forms.NOVELAI],
        "easy_models": sorted(json_forms.EASY_MODELS),
        "easy_steps": sorted(json_forms.EASY_STEPS),
    }


def _rules(patterns: Mapping[str, re.Pattern[Any]]) -> dict[str, Any]:
    """Return patterns, and what all kinds of metadata are judged by: names and digital source types."""
    names = name_rules()
    taken = {**patterns, "name": names["pattern"]}
    return {
        "patterns": {name: _for_javascript(pattern) for name, pattern in taken.items()},
        "names": {"words": names["words"], "companies": names["companies"], "edited": sorted(EDITED)},
        "terms": TERMS,
        "terms_by_name": BY_NAME,
        "ai_extents": AI_EXTENTS,
        "did": DID,
    }


def _for_javascript(pattern: re.Pattern[Any]) -> tuple[str, str]:
    """Return a pattern and its flags as JavaScript writes them."""
    source = pattern.pattern.decode() if isinstance(pattern.pattern, bytes) else str(pattern.pattern)
    flags = {"i": re.IGNORECASE, "s": re.DOTALL}
    # Named groups are written otherwise. A repetition that gives nothing back is not known, and only saves time.
    source = source.replace("(?P<", "(?<").replace("*+", "*")
    return source, "".join(letter for letter, flag in flags.items() if pattern.flags & flag)
