"""Documentation that cannot rot: every page is held to the code."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.main import get_command

import pyrite
from pyrite.auditing import Audit
from pyrite.auditing.audit import ImageSpectra, NearPair
from pyrite.auditing.bias import Bias
from pyrite.auditing.copies import Copies
from pyrite.bundle import (
    MANIFEST,
    OPTIONAL,
    REQUIRED,
    BundleInfo,
    Calibration,
    Crops,
    DataInfo,
    JointCalibration,
    JointGroup,
    ModelOrigin,
    PanelInfo,
    Quantization,
    Resize,
    ShorterSide,
    TrainingInfo,
)
from pyrite.bundle.panel import Member
from pyrite.cli.application import app
from pyrite.decision import Policy, Scope
from pyrite.evaluation import Comparison, Report
from pyrite.evaluation.comparison import Competitor, Found, Pair, SliceColumn, SliceFigures, SliceRow
from pyrite.evaluation.figures import Figures
from pyrite.evaluation.floor import FAMILIES, Fact, Floor, Shortcut
from pyrite.evaluation.metrics import GeneratorRow, Headline, PrevalenceRow
from pyrite.evaluation.outcomes import ScoresInfo
from pyrite.evaluation.paired import DeLong, Differences, McNemar
from pyrite.evaluation.plots import Spectrum
from pyrite.evaluation.robustness import Condition, Flips, Robustness
from pyrite.evaluation.transfer import Transfer
from pyrite.explanation import ClassSpectrum, Explanation, Spectra
from pyrite.explanation.faithfulness import Faithfulness
from pyrite.matching import HISTORIES, MatchInfo
from pyrite.matching.autoencoder import shipped_decoders
from pyrite.matching.histories import SharedHistory
from pyrite.matching.records import COLUMNS, DecoderInfo, MatchedPhoto, MatchSettings, UnusedPhoto
from pyrite.matching.taesd import UPSAMPLINGS
from pyrite.matching.views import PhotoView
from pyrite.recipe import Recipe, shipped_recipes
from pyrite.results import Detection, Evidence, Failure, Model, Reason, Verdict
from pyrite.scanning.near_duplicates import NearDuplicates
from pyrite.scanning.prevalence import Rates, Share
from pyrite.scanning.rules import Rule, Rules
from pyrite.scanning.scan import Progress, ScanManifest
from pyrite.scanning.summary import Counts, Summary
from pyrite.scores import PanelRates
from pyrite.scores.measure import BudgetRates, DetectorRates, GroupRates
from pyrite.serving import ServerSettings

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
# Typer's own classes for a command and its parameters are not public.
Command = Any


def commands(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Command]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


COMMANDS = dict(commands(get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "pyrite")
def test_every_command_and_option_says_what_it_does(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    assert [parameter.name for parameter in command.params if not parameter.help] == []


def test_the_command_line_page_is_what_make_docs_writes() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    arguments = re.search(r"\(BIN\)/typer (.*) --output (docs/cli\.md)", makefile)
    assert arguments
    command = [sys.executable, "-m", "typer", *shlex.split(arguments[1])]
    page = subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout.decode()
    assert (ROOT / arguments[2]).read_text("utf-8").strip() == page.strip(), "docs/cli.md is stale: run make docs."


def shown_commands(page: Path) -> Iterator[str]:
    """Yield every command in a page's shell blocks and code spans."""
    text = page.read_text("utf-8")
    for kind, block in re.findall(r"^```(sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        prompt = "$ " if kind == "console" else ""
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(prompt):
                yield line.removeprefix(prompt).partition(" # ")[0]
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


SHOWN = [
    pytest.param(shlex.split(command), id=f"{page.name}: {command}")
    for page in PAGES
    for command in dict.fromkeys(shown_commands(page))
    if "[OPTIONS]" not in command  # as in the usage lines of docs/cli.md
]


@pytest.mark.parametrize("words", [shown for shown in SHOWN if shown.values[0][:1] == ["pyrite"]])
def test_shown_commands_and_their_options_exist(words: list[str]) -> None:
    path: tuple[str, ...] = ()
    for word in words[1:]:
        if (*path, word) not in COMMANDS:
            break
        path = (*path, word)
    command = COMMANDS[path]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert options <= known | {"-h", "--help"}
    assert len(path) == len(words) - 1 or not hasattr(command, "commands"), f"There is no {words[len(path) + 1]!r}."


@pytest.mark.parametrize("words", [shown for shown in SHOWN if shown.values[0][:1] == ["make"]])
def test_shown_make_targets_exist(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {word for word in words[1:] if "=" not in word} <= set(targets)


def test_the_opening_commands_are_shown() -> None:
    opening = (ROOT / "README.md").read_text("utf-8").partition("\n## ")[0]
    assert re.findall(r"^\$ (.*)$", opening, re.MULTILINE) == ["make demo", "make test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text("utf-8")):
        there = (page.parent / target).resolve() if target else page
        assert there.exists()
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_use_public_names(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "pyrite":
                assert {alias.name for alias in node.names} <= set(pyrite.__all__)


def test_every_public_name_is_in_the_reference() -> None:
    # By where they are defined: a module may have the name of the function in it.
    named = re.findall(r"^::: (\S+)$", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
    public = [getattr(pyrite, name) for name in pyrite.__all__]
    assert [one for one in public if not {f"{one.__module__}.{one.__qualname__}", one.__module__} & {*named}] == []


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    shown = re.findall(r": (\S+\.md)$", nav, re.MULTILINE)
    assert len(set(shown)) == len(shown)
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md") if page.name != "README.md"}
    assert pages <= set(shown)
    assert re.findall(r"^  - (.*?):", nav, re.MULTILINE) == [
        "Pyrite", "Tutorial", "How-to guides", "Reference", "Explanation"
    ]  # fmt: skip


def names_of(struct: type) -> list[str]:
    return [field.name for field in fields(struct)] if is_dataclass(struct) else list(struct.__struct_fields__)


@pytest.mark.parametrize(
    ("page", "structs", "more"),
    [
        ("detection.md", (Detection, Evidence, Model, Failure), (*Verdict, *Reason)),
        (
            "bundle.md",
            (
                BundleInfo,
                Resize,
                ShorterSide,
                Crops,
                ModelOrigin,
                Scope,
                Calibration,
                Policy,
                TrainingInfo,
                DataInfo,
                Quantization,
                Spectra,
                ClassSpectrum,
            ),
            (MANIFEST, *REQUIRED, *OPTIONAL),
        ),
        (
            "report.md",
            (Report, Figures, Headline, GeneratorRow, PrevalenceRow, Robustness, Condition, Flips, Transfer),
            (),
        ),
        (
            "compare.md",
            (
                Comparison,
                Competitor,
                Pair,
                Differences,
                DeLong,
                McNemar,
                Found,
                SliceColumn,
                SliceRow,
                SliceFigures,
                ScoresInfo,
            ),
            ("path", "sha256", "label", "logit", "probability", "p_real", "p_ai", "verdict", "reason"),
        ),
        ("audit.md", (Audit, Bias, Copies, NearPair, Floor, Shortcut, Fact, ImageSpectra, Spectrum), tuple(FAMILIES)),
        ("explanation.md", (Explanation, Faithfulness), ()),
        (
            "panels.md",
            (PanelInfo, Member, JointCalibration, JointGroup, PanelRates, DetectorRates, BudgetRates, GroupRates),
            (),
        ),
        (
            "matching.md",
            (MatchInfo, MatchSettings, DecoderInfo, UnusedPhoto, MatchedPhoto, PhotoView, SharedHistory),
            (*COLUMNS, *HISTORIES, *UPSAMPLINGS, *shipped_decoders()),
        ),
        ("scale.md", (ScanManifest, Progress, Summary, Counts, NearDuplicates, Share, Rates, Rule, Rules), ()),
    ],
)
def test_every_field_of_a_file_is_documented(page: str, structs: tuple[type, ...], more: tuple[str, ...]) -> None:
    text = (DOCS / page).read_text("utf-8")
    assert [name for struct in structs for name in names_of(struct) if f"`{name}`" not in text] == []
    assert [name for name in more if f"`{name}`" not in text] == []


def test_every_image_error_is_documented() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src" / "pyrite" / "image").glob("*.py"))
    codes = set(re.findall(r"ImageError\(\s*\"(\w+)\"", source))
    assert codes
    assert codes <= set(re.findall(r"`(\w+)`", (DOCS / "detection.md").read_text("utf-8").partition("## Errors")[2]))


def test_every_environment_variable_is_documented() -> None:
    read = {
        name for path in (ROOT / "src").rglob("*.py") for name in re.findall(r"PYRITE_[A-Z_]+", path.read_text("utf-8"))
    }
    assert [name for name in read if not any(f"`{name}`" in page.read_text("utf-8") for page in PAGES)] == []


def table(page: str, header: str) -> list[list[str]]:
    rows = (DOCS / page).read_text("utf-8").partition(f"\n| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip().strip("|").split(" | ")] for row in rows]


def test_every_shipped_recipe_is_documented() -> None:
    assert tuple(row[0].strip("`") for row in table("recipes.md", "recipe")) == shipped_recipes()


def test_every_setting_of_a_recipe_is_documented_with_its_type_and_default() -> None:
    schema = msgspec.json.schema(Recipe)["$defs"]["Recipe"]
    expected = [
        [f"`{name}`", describe(value), describe_default(value, required=name in schema["required"])]
        for name, value in schema["properties"].items()
    ]
    assert [row[:3] for row in table("recipes.md", "setting")] == expected


def test_every_setting_of_the_server_is_documented_with_its_default() -> None:
    expected = [
        [f"`{field.name}`", "none" if field.default is None else f"`{msgspec.json.encode(field.default).decode()}`"]
        for field in msgspec.structs.fields(ServerSettings)
    ]
    assert [row[:2] for row in table("serving.md", "setting")] == expected


def test_every_error_of_the_server_is_documented() -> None:
    lost = ROOT / "src" / "pyrite" / "detector" / "lost.py"
    paths = [*(ROOT / "src" / "pyrite" / "serving").glob("*.py"), lost]
    source = "".join(path.read_text("utf-8") for path in paths)
    codes = set(re.findall(r"(?:Refusal|_closing)\(\s*\d+,\s*\"(\w+)\"", source))
    codes |= set(re.findall(r"(?:busy|Failure|Places)\((?:settings\.\w+, )?\"(\w+)\"", source))
    assert {"queue_full", "too_large", "timed_out", "crashed", "no_space"} <= codes
    assert codes <= set(re.findall(r"`(\w+)`", (DOCS / "serving.md").read_text("utf-8")))


def describe(schema: dict[str, Any]) -> str:
    match schema:
        case {"enum": values}:
            return " or ".join(f"`{value}`" for value in values)
        case {"anyOf": [first, {"type": "null"}]}:
            return describe(first)
        case {"type": "array", "prefixItems": items}:
            return f"{len(items)} {describe(items[0])}s"
        case {"type": "array", "items": item}:
            return f"{'one or more ' if schema.get('minItems') else ''}{describe(item)}s"
        case {"type": kind}:
            return {"string": "text", "boolean": "true or false"}.get(str(kind), str(kind))
    raise AssertionError(schema)


def describe_default(schema: dict[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    default = schema["default"]
    return "none" if default is None else f"`{msgspec.json.encode(default).decode()}`"
