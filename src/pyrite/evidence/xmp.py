"""XMP: the properties of an image, in every way that the Resource Description Framework can write them.

Source: ISO 16684-1 (the XMP specification, part 1), on serialization.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from pyrite.evidence.values import MAX_TEXT

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "
_XML = "http://www.w3.org/XML/1998/namespace "
_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
"""What a JPEG has before its packet, and some programs write elsewhere too."""
_CONTAINERS = {_RDF + "Alt", _RDF + "Bag", _RDF + "Seq"}
_MAX_DEPTH = 100
_MAX_ELEMENTS = 50_000


@dataclass(slots=True)
class _Element:
    name: str
    attributes: Mapping[str, str]
    children: list["_Element"] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Packet:
    """What a packet says of the image itself."""

    properties: Mapping[str, object]
    """By `namespace name`: a text, a list of values, or a dictionary of them by `namespace name`."""
    damage: str = ""
    """Why it was not read to its end; empty where it was."""


def read_packet(packet: bytes) -> Packet:
    """Return the properties of a packet, as far as it can be read.

    A document type declaration ends it: XMP has no use for one, but an attack has.
    """
    packet = packet.removeprefix(_PREFIX).strip(b" \t\r\n")
    if not packet.strip(b"\0 \t\r\n"):
        return Packet({})
    # Padding, but for the half or the quarter of a character that "<" is.
    if not packet.startswith((b"\0<", b"\0\0\0<", b"\0\0\xfe\xff")):
        packet = packet.lstrip(b"\0 \t\r\n").removeprefix(_PREFIX)
    if len(packet) > MAX_TEXT:
        return Packet({}, f"it has more than {MAX_TEXT:,} bytes")
    tree = _Tree()
    damage = ""
    try:
        tree.parser.Parse(_to_utf8(packet), True)
    except (ValueError, expat.ExpatError) as error:
        damage = str(error)
    properties: dict[str, object] = {}
    for description in _find_descriptions(tree.root, 3):
        for name, value in _properties(description).items():
            properties.setdefault(name, value)
    return Packet(properties, damage)


def first(value: object) -> str:
    """Return the text that stands for a value: that of a structure's `rdf:value`, or of the first item that has one."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return first(value.get(_RDF + "value", ""))
    if isinstance(value, list):
        return next((text for item in value if (text := first(item))), "")
    return ""


def texts_of(value: object) -> list[str]:
    """Return the texts of a value: one, or those of a list's items."""
    values = value if isinstance(value, list) else [value]
    return [text for item in values if (text := first(item))]


def _to_utf8(packet: bytes) -> bytes:
    """Return a packet in UTF-8: it may be in UTF-16 or UTF-32, with or without a mark of its order of bytes."""
    head = packet[:4]
    if head in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or head[1:] == b"\0\0\0" or head[:3] == b"\0\0\0":
        encoding = "utf-32" if head[0] in (0xFE, 0xFF) or head[2:] == b"\xfe\xff" else _wide(head, "utf-32")
    elif head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif head[:1] == b"\0" or head[1:2] == b"\0":
        encoding = _wide(head, "utf-16")
    elif packet[:3] == b"\xef\xbb\xbf":
        return packet[3:].rstrip(b"\0")
    else:
        return packet.rstrip(b"\0 \t\r\n")
    # What was stripped may have been half a character.
    size = 4 if encoding.startswith("utf-32") else 2
    return packet.ljust(-(-len(packet) // size) * size, b"\0").decode(encoding).strip("\0\ufeff \t\r\n").encode()


def _wide(head: bytes, encoding: str) -> str:
    return encoding + ("-be" if head[0] == 0 else "-le")


class _Tree:
    """The elements of a document, of bounded number and depth."""

    def __init__(self) -> None:
        self.root = _Element("", {})
        self._open = [self.root]
        self._count = 0
        # By itself expat takes UTF-8, and the declaration may name what the packet was in before.
        self.parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.CharacterDataHandler = self._add
        self.parser.EndElementHandler = self._end

    def _refuse(self, *_: object) -> None:
        raise ValueError("it has a document type declaration")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._count += 1
        if len(self._open) > _MAX_DEPTH:
            raise ValueError("its elements are nested too deep")
        if self._count > _MAX_ELEMENTS:
            raise ValueError(f"it has more than {_MAX_ELEMENTS:,} elements")
        element = _Element(name, attributes)
        self._open[-1].children.append(element)
        self._open.append(element)

    def _add(self, text: str) -> None:
        self._open[-1].text.append(text)

    def _end(self, _: str) -> None:
        self._open.pop()


def _find_descriptions(element: _Element, depth: int) -> list[_Element]:
    """Return the descriptions of the image: `x:xmpmeta`, or what it was called before, may be around them or not."""
    for child in element.children:
        if child.name == _RDF + "RDF":
            return child.children
        if depth and (found := _find_descriptions(child, depth - 1)):
            return found
    return []


def _properties(element: _Element) -> dict[str, object]:
    """Return what an element says in attributes, and in elements of its own."""
    found: dict[str, object] = {
        name: value for name, value in element.attributes.items() if " " in name and not name.startswith((_RDF, _XML))
    }
    if _RDF + "value" in element.attributes:
        found[_RDF + "value"] = element.attributes[_RDF + "value"]
    for child in element.children:
        value = _value(child)
        if value not in ("", [], {}):
            found.setdefault(child.name, value)
    return found


def _value(element: _Element) -> object:
    if _RDF + "resource" in element.attributes:
        return element.attributes[_RDF + "resource"]
    parse = element.attributes.get(_RDF + "parseType")
    if parse == "Resource":
        return _properties(element)
    if element.children and parse != "Literal":
        inner = element.children[0]
        if inner.name in _CONTAINERS:
            return _items(inner)
        # A description of its own, or an element whose name is its type.
        return _properties(inner) if len(element.children) == 1 else _properties(element)
    text = "".join(element.text).strip()
    return text or _properties(element)


def _items(container: _Element) -> list[object]:
    # Of alternatives, the one for whoever reads no language in particular comes first.
    items = sorted(container.children, key=lambda item: item.attributes.get(_XML + "lang") != "x-default")
    return [value for item in items if (value := _value(item)) not in ("", [], {})]
