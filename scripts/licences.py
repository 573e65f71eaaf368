"""Hold the licences of what the lock installs to those that Pyrite may be distributed with; `make check` runs this."""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"

FREE = re.compile(
    r"apache|\bbsd|\bmit\b|mit-cmu|\bisc\b|python software foundation|\bpsf|mozilla|mpl-2|unlicense|\bzlib\b|0bsd|hpnd|"
    r"historical permission|\bcc0|public domain|\blgpl|lesser general public",
    re.IGNORECASE,
)
"""Licences that ask for no more than notices, or for changes of the library itself."""

KNOWN: Mapping[str, str] = {"jax2onnx": "Apache-2.0", "namex": "Apache-2.0"}
"""By name, the licences that metadata does not tell, as their repositories have them."""


def licence_of(package: Distribution) -> str:
    """Return what a package says of its licence: an expression, or what it had before there were any."""
    said = package.metadata
    expression = said.get("License-Expression")
    if expression:
        return str(expression)
    kinds = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier") or [] if line.startswith("License ::")]
    text = str(said.get("License") or "")
    return "; ".join([*kinds, text.strip().splitlines()[0] if text.strip() else ""]).strip("; ")


def main() -> int:
    """Print what is not known to be free, and return how many that are."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text("utf-8"), re.MULTILINE)
    bad, seen = [], 0
    for name in names:
        try:
            licence = KNOWN.get(name) or licence_of(distribution(name))
        except PackageNotFoundError:  # It is for another system.
            continue
        seen += 1
        if not FREE.search(licence):
            bad.append(f"{name}: {licence or 'says nothing'}")
    for line in bad:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"Licences: {seen} packages, {len(bad)} to look at.\n")
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
