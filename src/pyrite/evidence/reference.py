"""The page of everything that is read, made from the readers' own tables: `make docs` writes docs/evidence.md."""

from collections.abc import Iterable, Sequence

from pyrite.evidence.labels import MEANINGS, all_producers
from pyrite.evidence.metadata import PLACES
from pyrite.evidence.names import CREDIT_FIELDS, SOFTWARE_FIELDS, all_names
from pyrite.evidence.prompts import FORMS
from pyrite.evidence.prompts.made import GROUPS
from pyrite.evidence.source_types import AI_EXTENTS, CAPTURE_TYPES, TERMS
from pyrite.evidence.trust import ListKind, Trust, count_certificates
from pyrite.evidence.watermarks.known import KNOWN


def evidence_page() -> str:
    """Return the page in Markdown."""
    return "\n".join(
        [
            "# What is read",
            "",
            "Everything that Pyrite reads in files, made from the tables in the code by `make docs`.",
            "[What a detection says](detection.md#evidence) explains each finding and how far it counts.",
            "",
            "## Places",
            "",
            *_table(("place", "file formats"), PLACES.items()),
            "",
            "Pyrite reads content credentials in JPEG (APP11), PNG (caBX), WebP, GIF, TIFF, HEIC, AVIF and JPEG XL.",
            "This takes the extra `credentials`; without it, Pyrite only says that a file has some.",
            "It does not decode the pixels of JPEG XL, and judges such a file only by what it says.",
            "",
            "## How programs write their prompts and settings",
            "",
            "In any of these places, whatever the name of the field.",
            "",
            *_table(("programs", "recognised by"), [(form.programs, form.told_by) for form in FORMS]),
            *_rows([(name, f"{told} (several texts in one place)") for name, told in GROUPS.items()]),
            "",
            "## Names",
            "",
            "Names count as the whole text of a field that names a program "
            f"({_code(sorted(SOFTWARE_FIELDS))}), after “made with” or similar words, or before a version.",
            f"In fields for a source ({_code(sorted(CREDIT_FIELDS))}), words that could be a person or a camera",
            "do not count.",
            "The list is in `names.toml` in `pyrite/evidence`.",
            "",
            *_table(
                ("generator", "company", "words"),
                [(name, company or "–", ", ".join(words)) for name, company, words in all_names()],
            ),
            "",
            "## Digital source types",
            "",
            "IPTC's vocabulary, with http or https, with a prefix, or as a bare term; in XMP, texts and credentials.",
            "",
            *_table(("term", "meaning", "says"), [(f"`{term}`", told, _says(term)) for term, told in TERMS.items()]),
            "",
            "## China's label (GB 45438-2025)",
            "",
            "In any text, alone or under `AIGC`, as JSON or as Python prints it.",
            "",
            *_table(
                ("`Label`", "meaning", "says"), [(label, told, says or "–") for label, (says, told) in MEANINGS.items()]
            ),
            "",
            *_table(
                ("identifier", "service", "company", "registered as"),
                [(f"`{code}`", it.name, it.company, it.registered) for code, it in all_producers().items()],
            ),
            "",
            "## Marks in the pixels",
            "",
            "RivaGAN and TrustMark need networks. Pyrite reads these marks once `pyrite watermark fetch rivagan` or",
            "`pyrite watermark fetch trustmark` has downloaded the networks to the cache folder of the machine.",
            "`pyrite watermark list` shows which marks are read on this machine.",
            "RivaGAN then takes nearly a second of one CPU for each image of 256 pixels or more on either side. It is",
            "not looked for in images of more than 33 million pixels that are judged at a smaller size.",
            "A TrustMark says nothing about AI. Neither does a RivaGAN mark with an unknown code.",
            "",
            *_table(
                ("mark", "written by", "bits", "found at", "survives"),
                [(it.mark, it.writer, it.bits, it.found_at, it.survives) for it in KNOWN],
            ),
            "",
            "## Trust lists",
            "",
            *_table(
                ("list", "what it is", "certificates", "vouches for", "issued", "next update"),
                [
                    (
                        f"`{item.name}`",
                        item.title,
                        f"{count_certificates(item.anchors) + count_certificates(item.allowed):,}",
                        "signers" if item.kind is ListKind.SIGNERS else "times",
                        item.issued or "–",
                        item.next_update or ("frozen" if item.frozen else "–"),
                    )
                    for item in Trust.default().lists
                ],
            ),
            "",
            "Sources and licences: `README.md` in `pyrite/evidence/trust_lists`. `PYRITE_TRUST` names the folder for",
            "newer lists. Default: `trust` below `PYRITE_DATA`, or `pyrite/trust` in the user's data folder.",
            "",
        ]
    )


def _says(term: str) -> str:
    if term in AI_EXTENTS:
        return f"ai ({AI_EXTENTS[term]})"
    return "real, only in verified credentials" if term in CAPTURE_TYPES else "–"


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *_rows(rows)]


def _rows(rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


if __name__ == "__main__":
    print(evidence_page(), end="")  # noqa: T201 - for the page
