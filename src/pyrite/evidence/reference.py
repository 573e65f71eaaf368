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
            "Made from the code's own tables; `make docs` writes it anew. What each finding says, and how far it",
            "counts, is in [what a detection says](detection.md#evidence).",
            "",
            "## Places",
            "",
            *_table(("place", "in which files"), PLACES.items()),
            "",
            "Content credentials are read in JPEG (APP11), PNG (caBX), WebP, GIF, TIFF, HEIC, AVIF and JPEG XL.",
            "The pixels of JPEG XL are not decoded here: such a file is judged by what it says alone.",
            "",
            "## How programs write what they were asked for",
            "",
            "In any of these places, whatever the field is called.",
            "",
            *_table(("programs", "told by"), [(form.programs, form.told_by) for form in FORMS]),
            *_rows([(name, f"{told} (texts of one place together)") for name, told in GROUPS.items()]),
            "",
            "## Names",
            "",
            "As the whole of a field that names a program "
            f"({_code(sorted(SOFTWARE_FIELDS))}), by itself, after “made with” or the like, or before a version.",
            f"In fields for a source ({_code(sorted(CREDIT_FIELDS))}), words that may be a person or a camera",
            "do not count.",
            "The list is `names.toml` in `pyrite/evidence`.",
            "",
            *_table(
                ("generator", "company", "words"),
                [(name, company or "–", ", ".join(words)) for name, company, words in all_names()],
            ),
            "",
            "## Digital source types",
            "",
            "IPTC's vocabulary, with http or https, a prefix, or as a bare term; in XMP, texts and credentials.",
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
            "RivaGAN and TrustMark take networks: they are read once `pyrite watermark fetch rivagan` or",
            "`pyrite watermark fetch trustmark` has brought these to the cache folder of the machine that reads.",
            "`pyrite watermark list` shows what is read here.",
            "Then RivaGAN takes nearly a second of one CPU for each image of 256 pixels or more on either side. It is",
            "not looked for in images of more than 33 million pixels that are judged at a smaller size.",
            "A TrustMark says nothing of AI, and nor does a RivaGAN mark whose code is not known.",
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
            "newer lists; without it they are kept in `pyrite/trust` among the user's data.",
            "",
        ]
    )


def _says(term: str) -> str:
    if term in AI_EXTENTS:
        return f"ai ({AI_EXTENTS[term]})"
    return "real, in verified credentials alone" if term in CAPTURE_TYPES else "–"


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *_rows(rows)]


def _rows(rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]


if __name__ == "__main__":
    print(evidence_page(), end="")  # noqa: T201 - for the page
