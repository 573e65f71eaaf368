"""What the site needs beside mkdocs.yml: pages outside docs/, links as GitHub has them, and nothing from elsewhere.

The pages are written for a reader of the repository, and link to files beside docs/. Whatever is linked comes along, so
that the site is whole by itself.
"""

import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from markdown.extensions import Extension
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Page

ROOT = Path(__file__).resolve().parents[1]
HOME = {"README.md": "docs/index.md"}
"""Pages of the repository that the site has another for."""
GENERATED = {"assets/icon.svg": "src/pyrite/serving/static/icon.svg"}
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
_FOLDER = re.compile(r"\[([^]]*)\]\(([^)\s#:]+)\)")
_ITEM = re.compile(r"\s*(?:[-*]|\d+\.) ")
_FENCE = re.compile(r"\s*```")


class Indents(Extension):
    """Lists as GitHub has them: what belongs to an item is indented by two blanks, not four."""

    def extendMarkdown(self, md: Any) -> None:  # noqa: N802
        """Set the indent before any other extension adds its parts."""
        md.tab_length = 2
        md.build_parser()


def slug(heading: str, separator: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Take GitHub's anchors and indents."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    config.markdown_extensions.insert(0, Indents())  # type: ignore[arg-type]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to, and what that links to, from anywhere in the repository."""
    for name, source in GENERATED.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    wanted = [place for place in _places(config.nav) if not files.get_file_from_path(place)]
    wanted += [place for file in files.documentation_pages() for place in linked(f"docs/{file.src_uri}", _text(file))]
    while wanted:
        place = wanted.pop()
        uri = uri_of(place)
        if files.get_file_from_path(uri) or not (ROOT / place).is_file():
            continue
        file = File.generated(config, uri, abs_src_path=str(ROOT / place))
        files.append(file)
        if file.is_documentation_page():
            wanted += linked(place, _text(file))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to where the site has what they lead to; one to a folder stays as text."""
    here = repository_place(page.file)

    def target(found: re.Match[str]) -> str:
        place = resolve(here, found[1])
        if place is None:
            return found[1]
        return posixpath.relpath(uri_of(place), posixpath.dirname(page.file.src_uri) or ".")

    def text_alone(found: re.Match[str]) -> str:
        return found[1] if (ROOT / posixpath.dirname(here) / found[2]).is_dir() else found[0]

    return separate_lists(_LINK.sub(target, _FOLDER.sub(text_alone, markdown)))


def separate_lists(text: str) -> str:
    """Put a blank line before each list that follows a paragraph at once, which GitHub does not need."""
    lines: list[str] = []
    fenced = in_list = False
    for line in text.splitlines():
        item = not fenced and _ITEM.match(line) is not None
        if item and not in_list and lines and lines[-1]:
            lines.append("")
        fenced ^= _FENCE.match(line) is not None
        in_list = item or (in_list and bool(line))
        lines.append(line)
    return "\n".join(lines) + "\n"


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that would fetch anything from elsewhere."""
    found = [f"{path.name}: {what}" for path in sorted(Path(config.site_dir).rglob("*.html")) for what in foreign(path)]
    if found:
        raise PluginError("The site would load from elsewhere:\n" + "\n".join(found))


def foreign(path: Path) -> list[str]:
    """Return what a page would load from another host, without being asked."""
    parser = _Loads()
    parser.feed(path.read_text("utf-8"))
    return [url for url in parser.urls if urlsplit(url).netloc]


class _Loads(HTMLParser):
    """Collects what a browser fetches by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._style = tag == "style"
        loads = {"src", "srcset", "poster", "data"} | ({"href"} if tag in ("link", "use", "image") else set())
        if given.get("rel") not in ("canonical", "prev", "next"):
            self.urls += [given[name] for name in loads & set(given)]
        self.urls += re.findall(r"url\([\"']?([^)\"']+)", given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._style:
            self.urls += re.findall(r"(?:url\(|@import\s+)[\"']?([^)\"';]+)", data)


def linked(place: str, text: str) -> list[str]:
    """Return the files of the repository that a page links to.

    Args:
        place: Of the page, from the repository's root.
        text: Of the page.
    """
    return [there for found in _LINK.findall(text) if (there := resolve(place, found))]


def resolve(place: str, link: str) -> str | None:
    """Return which file of the repository a page's link leads to; `None` where it leads to none."""
    if urlsplit(link).scheme or link.startswith("/"):
        return None
    there = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
    there = HOME.get(there, there)
    return there if not there.startswith("..") and (ROOT / there).exists() else None


def uri_of(place: str) -> str:
    """Return where the site has a file of the repository."""
    return place.removeprefix("docs/")


def repository_place(file: File) -> str:
    """Return where the repository has a page of the site."""
    return str(Path(str(file.abs_src_path)).relative_to(ROOT).as_posix())


def _places(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    children = nav.values() if isinstance(nav, dict) else nav or []
    return [place for child in children for place in _places(child)]


def _text(file: File) -> str:
    return Path(str(file.abs_src_path)).read_text("utf-8")
