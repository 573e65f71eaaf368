"""Who may import what: the code is held to the table in ARCHITECTURE.md."""

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pyrite"
MODULES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py"))


@dataclass(frozen=True)
class Room:
    """A row of the table."""

    level: int
    packages: frozenset[str]


def read_ladder() -> dict[str, Room]:
    table = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("\n| level |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {
        room.strip("`"): Room(int(level), frozenset(packages.split(", ")) - {""}) for level, room, _, packages in rows
    }


LADDER = read_ladder()


@dataclass(frozen=True)
class Import:
    """One name that a module imports."""

    file: Path
    line: int
    name: str
    """Dotted and absolute."""
    eager: bool
    """Whether it is carried out as soon as the module is imported."""

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def room(self) -> str | None:
        """The room of Pyrite that it imports from."""
        if self.top != "pyrite":
            return None
        second = self.name.split(".")[1:2]
        return second[0] if second and second[0] in LADDER else "__init__"

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.name}"


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text("utf-8"))
    late = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test))
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(SOURCE.parent).parent.parts
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            # `from pyrite import x` imports from the room x, where there is one.
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "pyrite" else [base]
        else:
            continue
        for name in names:
            yield Import(path, node.lineno, name, id(node) not in late)


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def modules_of(requirements: list[str]) -> frozenset[str]:
    """Return the modules that these packages bring: of those that are not installed, the one of the package's name."""
    wanted = {canonicalize_name(Requirement(text).name) for text in requirements}
    installed = {module: {canonicalize_name(name) for name in names} for module, names in distributions().items()}
    missing = wanted - set().union(*installed.values())
    return frozenset(missing) | {module for module, names in installed.items() if wanted & names}


# Not as this file is imported, which every process that runs tests does.
distributions = cache(packages_distributions)


@cache
def imports() -> list[Import]:
    return [found for path in MODULES for found in imports_of(path)]


def third_party() -> list[Import]:
    return [found for found in imports() if found.top != "pyrite" and found.top not in sys.stdlib_module_names]


def base() -> frozenset[str]:
    return modules_of(PROJECT["dependencies"])


def optional() -> frozenset[str]:
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    return modules_of(extras) - base() - {"pyrite"}


def test_every_room_stands_in_the_table_and_every_room_of_the_table_stands() -> None:
    assert {room_of(path) for path in MODULES} == set(LADDER)


def test_rooms_import_only_from_lower_levels() -> None:
    wrong = [
        str(found)
        for found in imports()
        if (home := room_of(found.file)) in LADDER
        and found.room not in (None, home)
        and LADDER[found.room].level >= LADDER[home].level
    ]
    assert not wrong


@pytest.mark.parametrize("room", LADDER)
def test_rooms_import_the_packages_that_the_table_names_and_no_others(room: str) -> None:
    assert {found.top for found in third_party() if room_of(found.file) == room} == LADDER[room].packages


def test_a_class_name_has_one_meaning() -> None:
    names = [
        node.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    public = Counter(name for name in names if not name.startswith("_"))
    assert [name for name, count in public.items() if count > 1] == []


def test_packages_imported_with_a_module_are_base_dependencies() -> None:
    allowed = base()
    assert not [str(found) for found in third_party() if found.eager and found.top not in allowed]


def test_packages_imported_late_are_declared() -> None:
    allowed = base() | optional()
    assert not [str(found) for found in third_party() if found.top not in allowed]


def test_only_the_package_itself_imports_by_name() -> None:
    """`import_module` and the like would pass the other tests by."""
    users = {path.relative_to(SOURCE) for path in MODULES if {"import_module", "__import__"} & names_used_by(path)}
    assert users == {Path("__init__.py")}


def names_used_by(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.attr for node in nodes if isinstance(node, ast.Attribute)
    }


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_the_package_loads_nothing_but_itself_and_the_standard_library() -> None:
    loaded = {name for name in loaded_by("import pyrite") if name.partition(".")[0] not in sys.stdlib_module_names}
    assert loaded == {"pyrite"}


def test_the_command_line_starts_without_anything_heavy() -> None:
    heavy = {"numpy", "PIL", "onnxruntime", "jinja2", "joblib"} | optional()
    assert not heavy & loaded_by("import pyrite.cli.application")


def test_a_process_that_imports_a_script_of_the_command_line_loads_no_command() -> None:
    assert not {"typer", "rich"} & loaded_by("from pyrite.cli import main")


def names_defined_by(package: Path) -> list[str]:
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] != "_"]
    return functions or [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyrite.")
        for alias in node.names
    ]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_all_is_the_public_namespace(package: Path) -> None:
    module = import_module(".".join(package.relative_to(SOURCE.parent).parts))
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    assert set(names) == set(names_defined_by(package))
    for name in names:
        assert getattr(module, name) is not None
    if package == SOURCE:
        assert dir(module) == names
