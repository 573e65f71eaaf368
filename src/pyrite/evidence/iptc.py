"""IPTC's Information Interchange Model: what agencies wrote before XMP, and some still do.

Source: IPTC-NAA Information Interchange Model, version 4.2; Adobe Photoshop file formats, on image resources.
"""

from pyrite.evidence.values import trim

NAMES = {
    5: "ObjectName",
    25: "Keywords",
    40: "SpecialInstructions",
    65: "OriginatingProgram",
    70: "ProgramVersion",
    80: "By-line",
    105: "Headline",
    110: "Credit",
    115: "Source",
    116: "CopyrightNotice",
    120: "Caption-Abstract",
    122: "Writer-Editor",
}
"""By number, the datasets of the second record that anything here asks for."""

_RESOURCE = b"8BIM"
_IIM = 0x0404
_MARK = 0x1C
_MAX_DATASETS = 10_000


def find_iptc(block: bytes) -> list[bytes]:
    """Return the rows of datasets among Photoshop's image resources, or the block itself where it is one."""
    if block[:1] == bytes((_MARK,)):
        return [block]
    found, at = [], 0
    while (at := block.find(_RESOURCE, at)) >= 0:
        kind = int.from_bytes(block[at + 4 : at + 6])
        named = block[at + 6] if at + 6 < len(block) else 0
        # A name of even length with its own, and a size.
        at += 6 + (named + 2 - named % 2 if named else 2)
        size = int.from_bytes(block[at : at + 4])
        if kind == _IIM:
            found.append(block[at + 4 : at + 4 + size])
        at += 4 + size + size % 2
    return found


def read_iptc(block: bytes) -> list[tuple[str, str]]:
    """Return the texts of a row of datasets, by name; damage ends it."""
    found, at = [], 0
    for _ in range(_MAX_DATASETS):
        if at + 5 > len(block) or block[at] != _MARK:
            break
        record, number, size = block[at + 1], block[at + 2], int.from_bytes(block[at + 3 : at + 5])
        at += 5
        if size & 0x8000:
            # Of more than 32,767 bytes: the size of the size.
            width = min(size & 0x7FFF, 4)
            size = int.from_bytes(block[at : at + width])
            at += width
        if record == 2 and number in NAMES:
            text = block[at : at + size]
            try:
                found.append((NAMES[number], trim(text.decode("utf-8"))))
            except UnicodeDecodeError:
                found.append((NAMES[number], trim(text.decode("latin-1"))))
        at += size
    return found
