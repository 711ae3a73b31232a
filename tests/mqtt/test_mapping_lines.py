"""Line numbers of keys in TOML text, whatever way it is written."""

import tomllib
from pathlib import Path

import pytest

from drivers.mappings import SHIPPED
from drivers.mqtt.profile_lines import Locator

TEXT = '''\
# a comment = "with equals"
name = "x" # [not a table]
"quoted key" = 1
a.b.c = 2

[parameters]
base = "z # no comment"
long = """
[[rule]]
name = 'no rule' """

[[rule]]   # first
name = 'one'
list = [ 1, # comment ]
  "two ]",
  { inner = 3, other = { deep = """x
y""" } },
]
[rule.table]
x = 1

[[rule]]
name = "two"
[[rule.event]]
kind = "sos"
[[rule.event]]
kind = { path = "btn", map = { "1" = "help", 2 = "sos" } }
when = "a == '}' && b == 'it''s'"
  [ other . "dotted name" ]
y = 1979-05-27T07:32:00Z
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("quoted key",), 3),
        (("a", "b", "c"), 4),
        (("a", "b"), 4),
        (("parameters",), 6),
        (("parameters", "base"), 7),
        (("parameters", "long"), 8),
        (("rule", 0), 12),
        (("rule", 0, "name"), 13),
        (("rule", 0, "list", 1), 15),
        (("rule", 0, "list", 2, "inner"), 16),
        (("rule", 0, "list", 2, "other", "deep"), 16),
        (("rule", 0, "table", "x"), 20),
        (("rule", 1, "name"), 23),
        (("rule", 1, "event", 0, "kind"), 25),
        (("rule", 1, "event", 1), 26),
        (("rule", 1, "event", 1, "kind", "map", "2"), 27),
        (("rule", 1, "event", 1, "when"), 28),
        (("other", "dotted name", "y"), 30),
        (("rule", 1, "event", 1, "missing", "key"), 26),
        (("nothing",), 1),
        ((), 1),
    ],
)
def test_lines(path: tuple[str | int, ...], line: int) -> None:
    text = TEXT.replace("'it''s'", "'its'")
    tomllib.loads(text)
    assert Locator(text).line(path) == line
    assert Locator(text.replace("\n", "\r\n")).line(path) == line


def paths(value: object, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [at, *(path for name, one in value.items() for path in paths(one, (*at, name)))]
    if isinstance(value, list):
        return [path for number, one in enumerate(value) for path in paths(one, (*at, number))]
    return [at]


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.toml")), ids=lambda file: file.stem)
def test_every_key_of_every_profile_is_found(file: Path) -> None:
    text = file.read_text("utf-8")
    locator = Locator(text)
    lines = text.splitlines()
    for path in paths(tomllib.loads(text)):
        if path:
            assert locator.has(path), path
            name = next(part for part in reversed(path) if isinstance(part, str))
            assert name in lines[locator.line(path) - 1] or isinstance(path[-1], int), path


@pytest.mark.parametrize("text", ["", "a", "a =", "[", "[[", "a = [", "a = {", 'a = "', "= 1", "[a\nb = 1", "a = {b", "a = [1,,]", "\0"])
def test_what_is_no_toml_ends_all_the_same(text: str) -> None:
    Locator(text).line(("a",))
