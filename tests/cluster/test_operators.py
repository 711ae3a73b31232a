"""The judge of the campaign's operators finds what he must, and nothing else."""

import pytest

from tests.cluster.operators import Operator, disagreements

ANNA, BERTA = "Anna", "Berta"


def judged(entries: list[str], owner: str | None, confirmed: tuple[str, int, bool]) -> list[str]:
    anna = Operator(ANNA, "")
    anna.confirmed.add(confirmed)
    return disagreements([anna], {"I1": entries}, {"I1": owner})


@pytest.mark.parametrize(
    ("entries", "owner", "confirmed"),
    [
        (["", ANNA], ANNA, ("I1", 1, True)),
        (["", ANNA, ""], None, ("I1", 2, False)),  # who cried again rings again, before the answer was made
        (["", ANNA, "", "", BERTA], BERTA, ("I1", 3, False)),
    ],
)
def test_what_is_written_is_not_lost(entries: list[str], owner: str | None, confirmed: tuple[str, int, bool]) -> None:
    assert judged(entries, owner, confirmed) == []


@pytest.mark.parametrize(
    ("entries", "owner", "confirmed"),
    [
        ([""], None, ("I1", 1, True)),
        (["", BERTA], BERTA, ("I1", 1, True)),
        (["", BERTA, ""], None, ("I1", 2, False)),
        (["", ANNA, "", BERTA], BERTA, ("I1", 2, True)),
    ],
)
def test_what_is_not_written_is_lost(entries: list[str], owner: str | None, confirmed: tuple[str, int, bool]) -> None:
    assert [one.split(":")[0] for one in judged(entries, owner, confirmed)] == ["lost"]


def test_two_winners_and_another_table_are_told() -> None:
    assert judged(["", ANNA, BERTA], ANNA, ("I1", 1, True)) == [
        "I1 is Anna's and Berta's",
        "I1 is Berta's by the journal, Anna's by the table",
        "lost: I1 was confirmed to Anna after 1 cries, and is Anna, then Berta's",
    ]
