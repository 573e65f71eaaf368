"""The text that AUTOMATIC1111's web UI writes, and many others after it: a prompt, and a line of settings.

```
a duck, by a lake
Negative prompt: blurry
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 4183556137, Size: 512x512, Model: duck_v2, Version: v1.10.1
```

Services put all of it on one line. Everything here takes linear time.
"""

import re

from pyrite.evidence.prompts.values import Made, asked
from pyrite.evidence.values import read_json

DEFAULT = "AUTOMATIC1111"
"""Whose form it is, where nobody else is named."""

WRITERS = {
    "civitai": "Civitai",
    "comfyui": "ComfyUI",
    "draw things": "Draw Things",
    "easy diffusion": "Easy Diffusion",
    "fooocus": "Fooocus",
    "fooocus-mre": "Fooocus MRE",
    "forge": "Forge",
    "krita-ai": "Krita AI Diffusion",
    "neo": "Forge",
    "reforge": "reForge",
    "ruinedfooocus": "RuinedFooocus",
    "sd.next": "SD.Next",
    "stable-diffusion.cpp": "stable-diffusion.cpp",
    "swarmui": "SwarmUI",
}
"""By how the settings call them in `Version` or `App`, the programs that write this form."""

_MAX_LINES = 50
"""From the end, in which the line of settings is looked for; plugins write some lines after it."""
# A key and its value, up to the next comma. A value with commas is in quotes, and a quote in it has a backslash.
PAIR = re.compile(r'([^:,]*)(?::\s*("(?:[^"\\]|\\.)*+"(?=\s*(?:,|$))|[^,]*)[^,]*)?(?:,|$)')
NEGATIVE = re.compile(r"\bnegative prompt:", re.IGNORECASE)
# A line break that was escaped once too often.
ESCAPED = re.compile(r"\\n(?=Negative prompt:|Steps:)", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?")
SETTINGS = {
    "cfg scale": _NUMBER,
    "clip skip": _NUMBER,
    "denoising strength": _NUMBER,
    "distilled cfg scale": _NUMBER,
    "guidance": _NUMBER,
    "model": re.compile(r".+"),
    "model hash": re.compile(r"[0-9a-fA-F]{6,64}"),
    "sampler": re.compile(r".*"),
    "schedule type": re.compile(r".+"),
    "seed": _NUMBER,
    "size": re.compile(r"\d{1,5} ?[xX×] ?\d{1,5}"),
    "version": re.compile(r".+"),
}
"""Beside the number of steps, two of these tell the form from a recipe for soup."""
# "f2.0.1v1.10.1" is Forge's on AUTOMATIC1111's.
FORGE = re.compile(r"f\d[\w.+-]*")
# Words, but no number and no hash.
NAMED = re.compile(r"(?!v?\d|[0-9a-f]{7,}$)([A-Za-z][A-Za-z.]*(?:[ -][A-Za-z][A-Za-z.]+)*)(?:$|[ _-]?v?\d.*|[ _-].*)")


def read_a1111(text: str) -> Made | None:
    """Return what a text in this form says, or `None`."""
    at = text.find("teps:")
    if at < 1 or text[at - 1] not in "sS":
        return None
    if "\n" not in text:
        text = ESCAPED.sub("\n", text)
    found = _find_line(text) or _find_within(text)
    if found is None:
        return None
    before, pairs = found
    parts = NEGATIVE.split(before, maxsplit=1)
    model, seed = _unquote(pairs.get("model", "")), _unquote(pairs.get("seed", ""))
    negative = parts[1] if len(parts) > 1 else ""
    return Made(_name(pairs), asked(model, parts[0], negative, seed))


def _find_line(text: str) -> tuple[str, dict[str, str]] | None:
    lines = text.split("\n")
    for at in range(len(lines) - 1, max(-1, len(lines) - 1 - _MAX_LINES), -1):
        pairs = _read_pairs(lines[at])
        if _are_settings(pairs):
            # Plugins write before the settings too, but what has no colon is the prompt, on the same line.
            first = lines[at].partition("teps:")[0][:-1]
            return (
                None
                if NEGATIVE.search(first) or (first.strip() and ":" not in first)
                else ("\n".join(lines[:at]), pairs)
            )
    return None


def _find_within(text: str) -> tuple[str, dict[str, str]] | None:
    """Find the settings on the line of the prompt, where line breaks became dots or spaces."""
    tail = text[text.rfind("\n", 0, max(0, len(text) - 1)) + 1 :] if text.count("\n") > _MAX_LINES else text
    # In the last place where they may begin: a prompt may speak of steps as well.
    at = max(tail.rfind("Steps: "), tail.rfind("steps: "))
    if at < 0:
        return None
    pairs = _read_pairs(tail[at:].replace("\n", ", "))
    return (tail[:at].rstrip(" .,"), pairs) if _are_settings(pairs) else None


def _are_settings(pairs: dict[str, str]) -> bool:
    if not re.fullmatch(r"\d{1,5}", pairs.get("steps", "")):
        return False
    return (
        sum(pattern.fullmatch(_unquote(pairs[key])) is not None for key, pattern in SETTINGS.items() if key in pairs)
        >= 2
    )


def _read_pairs(line: str) -> dict[str, str]:
    """Return the settings of a line as they are written; of a key that comes twice, the first."""
    if "teps:" not in line:
        return {}
    pairs: dict[str, str] = {}
    for key, value in PAIR.findall(line):
        pairs.setdefault(key.strip().lower()[:100], value.strip())
    return pairs


def _name(pairs: dict[str, str]) -> str:
    """Return who wrote the settings, by what they call themselves."""
    app = _unquote(pairs.get("app", ""))
    if app:
        return WRITERS.get(app.lower(), app)
    version = _unquote(pairs.get("version", ""))
    if FORGE.fullmatch(version):
        return "Forge"
    if "civitai resources" in pairs or "civitai metadata" in pairs:
        return "Civitai"
    words = NAMED.fullmatch(version[:100])
    return WRITERS.get(words[1].lower(), words[1]) if words else DEFAULT


def _unquote(value: str) -> str:
    text = read_json(value) if value.startswith('"') else value
    return text if isinstance(text, str) else value
