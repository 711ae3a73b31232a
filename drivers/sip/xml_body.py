"""XML in a SIP body, read within bounds: no DOCTYPE, no entities, nothing fetched, so much text, so deep, so many elements.

One reader for SCAIP, PIDF-LO, CAP and dialog-info. Names are local ones: prefixes and namespaces vary from maker to maker.
"""

import re
from collections.abc import Iterator
from xml.parsers import expat

MAX_BYTES = 64 * 1024  # a UDP datagram's worth; a dialog-info of a busy switchboard has about 10 kB
MAX_DEPTH = 24  # PIDF-LO with a polygon is 10 deep
MAX_ELEMENTS = 2_000  # a polygon of some hundred points, a switchboard with a hundred calls
MAX_TEXT = 32 * 1024  # of one element

_ENCODING = re.compile(rb"""\A(?:\xef\xbb\xbf)?\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._\-]{1,40})["']""")
_CHINESE = frozenset({"gb2312", "gbk", "gb18030", "cp936"})  # multi-byte ones, which expat does not know


class MalformedXml(Exception):
    """reason: bad_xml | too_long | too_deep | forbidden_xml (DOCTYPE or entities), or a reader's own."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Element:
    """One element: local name, attributes by local name, its own text (stripped), children in order."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.text = ""
        self.children: list[Element] = []

    def child(self, name: str) -> "Element | None":
        """The first child of this name."""
        return next((child for child in self.children if child.name == name), None)

    def value(self, name: str) -> str:
        """The text of the first child of this name, "" when there is none."""
        child = self.child(name)
        return child.text if child is not None else ""

    def all(self, name: str) -> Iterator["Element"]:
        """Every element of this name below, in the order of the document."""
        for child in self.children:
            if child.name == name:
                yield child
            yield from child.all(name)


def read_xml(body: bytes, max_bytes: int = MAX_BYTES) -> Element:
    """The root element. Raises MalformedXml and nothing else. Time is linear in the size."""
    if len(body) > max_bytes:
        raise MalformedXml("too_long")
    reader = _Reader()
    text, encoding = _decoded(body)
    parser = expat.ParserCreate(encoding)
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = reader.forbid
    parser.EntityDeclHandler = reader.forbid
    try:
        parser.Parse(text, True)
    except _Stop as stop:
        raise MalformedXml(str(stop)) from None
    except (expat.ExpatError, ValueError, LookupError):  # ValueError: an encoding that Python itself refuses
        raise MalformedXml("bad_xml") from None
    if reader.root is None:
        raise MalformedXml("bad_xml")
    return reader.root


class _Stop(Exception):
    """Ends the parser from within a handler."""


class _Reader:
    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._sizes: list[int] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise _Stop("too_deep")
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])
        self._sizes.append(0)

    def end(self, _: str) -> None:
        element = self._open.pop()
        element.text = "".join(self._texts.pop()).strip()
        self._sizes.pop()

    def characters(self, text: str) -> None:
        self._sizes[-1] += len(text)
        if self._sizes[-1] > MAX_TEXT:
            raise _Stop("too_long")
        self._texts[-1].append(text)

    def forbid(self, *_: object) -> None:
        raise _Stop("forbidden_xml")


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _decoded(body: bytes) -> tuple[bytes, str | None]:
    """The bytes for expat, and the encoding to believe instead of the declared one. GBK is what old Chinese devices write, declared or not."""
    found = _ENCODING.match(body[:200])
    if found is None:
        if body.startswith((b"\xff\xfe", b"\xfe\xff")):
            return body, None
        try:
            body.decode()
        except UnicodeDecodeError:
            return _from_chinese(body)
        return body, None
    return _from_chinese(body) if found.group(1).decode().lower() in _CHINESE else (body, None)


def _from_chinese(body: bytes) -> tuple[bytes, str | None]:
    try:
        return body.decode("gb18030").encode(), "utf-8"
    except UnicodeDecodeError:
        return body, None
