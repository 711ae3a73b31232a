"""docs/threat-model.md: each threat names a test that exists, or an accepted risk with its reason; each wire is looked at from all six sides."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
WIRES = (
    "Serial lines",
    "TCP panels and trackers",
    "UDP",
    "MQTT broker",
    "SIP",
    "HEP from the exchange",
    "AMI and ESL",
    "Modem and short messages",
    "Web hooks and platforms that write to us",
    "Console",
    "Responder page",
    "Upward: municipal systems and subscribers",
    "NATS between edges and cores",
    "PostgreSQL",
    "Backups and the spare",
)


class Row(NamedTuple):
    wire: str
    threat: str
    harm: str
    answer: str
    left: str
    test: str

    @property
    def letters(self) -> set[str]:
        return set(self.threat.partition(":")[0].split(", "))


def rows() -> list[Row]:
    found, wire = [], ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            wire = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| threat "):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 5, line
            found.append(Row(wire, *cells))
    return found


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def fault_of(cell: str) -> str:
    """What is wrong with the last cell of a row; "" when nothing is."""
    if cell.startswith("accepted: "):
        return "" if len(cell) > 40 else "gives no reason"
    named = re.fullmatch(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", cell)
    if named is None:
        return "names neither a test nor an accepted risk"
    file, test = named.groups()
    if not (ROOT / file).is_file():
        return f"{file} is not there"
    return "" if (test in names_in(file) if test else names_in(file)) else f"{file} has no {test}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.wire}: {row.threat[:40]}")
def test_every_threat_has_an_answer_that_is_proven_or_a_reason(row: Row) -> None:
    assert fault_of(row.test) == ""
    assert all(row[1:5]), "a cell is empty"


@pytest.mark.parametrize("wire", WIRES)
def test_every_wire_is_looked_at_from_all_six_sides(wire: str) -> None:
    letters = set().union(*(row.letters for row in rows() if row.wire == wire))
    assert letters == set("STRIDE")


def test_no_wire_is_on_the_page_that_nobody_knows() -> None:
    assert {row.wire for row in rows()} == set(WIRES)
    assert len(rows()) > 80


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("`tests/gone.py::test_x`", "tests/gone.py is not there"),
        ("`tests/security/test_threat_model.py::test_gone`", "has no test_gone"),
        ("trust us", "neither"),
        ("accepted: well", "no reason"),
    ],
)
def test_this_test_would_notice(cell: str, words: str) -> None:
    assert words in fault_of(cell)
