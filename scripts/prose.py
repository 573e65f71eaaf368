"""Check the prose of the documentation: one sentence a line, short sentences, usual words; `make check` runs this."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in ("cli.md", "evidence.md")),
    *sorted((ROOT / "results").glob("*.md")),
    *sorted((ROOT / "results").glob("*/*.md")),
)
"""What is checked by default: not the pages made from code and the list of changes."""

LONGEST = 35
"""The most words in a sentence, outside tables."""

WORDS: Mapping[str, str] = {
    r"anew": "again",
    r"(?:is|are|was|were|be|been) told": "says, shows or reports",
    r"but for": "except for",
    r"cannot be had": "is not available",
    r"flatters?|flattered": "inflates",
    r"(?:go|goes|went) on (?:from|where|with)": "continues",
    r"hangs? on": "depends on",
    r"hangs? up": "disconnects",
    r"held (?:against|to)": "compared with",
    r"images like (?:those|these)": "images similar to",
    r"mends?|mended": "fixes",
    r"that (?:is|are) (?:here|there) already": "that already exists",
    r"upon": "on",
    r"who(?:ever)? (?:asks|judges)": "a client, or a user",
}
"""Regular expressions of words that native readers stumble over, and what to write instead."""

_WORDS = re.compile(rf"\b(?:{'|'.join(f'({words})' for words in WORDS)})\b", re.IGNORECASE)
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_LABEL = re.compile(r"^\*\*[^*]+[.?!]\*\* ")
_END = re.compile(r"[.?!:;…][*)\]\"”]*$")
_NEXT = re.compile(r"(?<!et al)(?<!e\.g)(?<!i\.e)(?<!vs)[.?!][*)\"”]* +(?=[A-Z`*\[“\"])")


def check(text: str) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with a page of Markdown, by line."""
    code = False
    wrapped = None  # the line before, where it ends amid a sentence
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip().removeprefix("> ")
        fence = words.startswith("```")
        code ^= fence
        if code or fence:
            wrapped = None
            continue
        spoken = re.sub(r"`[^`]*`", "`code`", re.sub(r"\]\([^)]*\)", "]", words))
        for found in _WORDS.finditer(spoken):
            yield number, f"“{found[0]}”: write “{[*WORDS.values()][(found.lastindex or 1) - 1]}”"
        item = _ITEM.match(spoken)
        if not spoken or spoken[0] in "|#" or spoken.startswith(("![", "---", "<!--")):
            wrapped = None
            continue
        if wrapped and not item:
            yield wrapped, "the sentence continues in the next line"
        wrapped = None if _END.search(spoken) else number
        sentence = _LABEL.sub("", spoken[item.end() :] if item else spoken)
        if _NEXT.search(sentence):
            yield number, "more than one sentence"
        elif (count := len(sentence.split())) > LONGEST:
            yield number, f"{count} words in a sentence; at most {LONGEST}"


def main(pages: list[Path]) -> int:
    """Print what is wrong with pages, and return how many faults there are."""
    found = [(page, *fault) for page in pages for fault in check(page.read_text("utf-8"))]
    for page, number, fault in found:
        sys.stdout.write(f"{page}:{number}: {fault}\n")
    sys.stdout.write(f"Prose: {len(pages):,} checked, {len(found):,} faults.\n")
    return len(found)


if __name__ == "__main__":
    sys.exit(bool(main([Path(name) for name in sys.argv[1:]] or [*PAGES])))
