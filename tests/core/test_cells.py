"""De-identified figures: nobody can be found in a cell, and what is not told cannot be worked out."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.cells import OTHERS, Cell, Fact, cells

K = 5
facts = st.lists(
    st.builds(
        Fact,
        period=st.sampled_from(["2026-01", "2026-02"]),
        area=st.sampled_from(["a", "b", "c", "d"]),
        kind=st.sampled_from(["fall", "sos", "smoke"]),
        who=st.integers(0, 25).map(str),
        minutes=st.none() | st.floats(0, 60),
        outcome=st.sampled_from(["", "helped", "false_alarm"]),
        satisfaction=st.none() | st.integers(1, 5),
    ),
    max_size=120,
)


@given(facts)
def test_every_cell_has_enough_persons_and_nothing_is_left_to_subtract(given_facts: list[Fact]) -> None:
    told = list(cells(given_facts, K))
    incidents, persons = Counter(fact.period for fact in given_facts), {period: set() for period in ("2026-01", "2026-02")}
    for fact in given_facts:
        persons[fact.period].add(fact.who)
    assert all(cell.persons >= K for cell in told)
    for period in persons:
        mine = [cell for cell in told if cell.period == period]
        if mine:
            assert sum(cell.incidents for cell in mine) == incidents[period], "whoever knows the total learns nothing from it"
            assert len({(cell.area, cell.kind) for cell in mine}) == len(mine)
        else:
            assert len(persons[period]) < K


def test_a_small_cell_goes_with_its_kind_first() -> None:
    many = [Fact("2026-01", "a", "fall", str(number), minutes=10.0, outcome="helped", satisfaction=4) for number in range(6)]
    few = [Fact("2026-01", area, "fall", f"{area}{number}") for area in ("b", "c") for number in range(3)]
    assert list(cells(many + few, K)) == [
        Cell("2026-01", OTHERS, "fall", 6, 6, None, None, None, None),
        Cell("2026-01", "a", "fall", 6, 6, 10.0, 1.0, 1.0, 4.0),
    ]


def test_one_person_with_many_alarms_is_one_person() -> None:
    assert list(cells([Fact("2026-01", "a", "fall", "wang")] * 50, K)) == []
