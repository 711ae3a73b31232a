"""[desk] and [shelving]: their bounds, and that nothing a person may have cried can ever be put aside."""

from pathlib import Path

import pytest

from gateway.config import examine_config
from gateway.config.desk import SHELVABLE_KINDS, ShelvingConfig
from gateway.event import KINDS, Group, Kind


def problems(folder: Path, text: str) -> list[str]:
    (folder / "districts" / "honggu").mkdir(parents=True, exist_ok=True)
    file = folder / "gateway.toml"
    file.write_text(text)
    _, found = examine_config(file)
    return [problem.removeprefix(f"{file}: ") for problem in found]


def test_the_defaults_are_right(tmp_path: Path) -> None:
    assert problems(tmp_path, "") == []
    assert ShelvingConfig().kinds == SHELVABLE_KINDS


@pytest.mark.parametrize("kind", [kind for kind, facts in KINDS.items() if facts.group in (Group.PERSON, Group.ENVIRONMENT, Group.TELEPHONE)])
def test_no_cry_is_shelvable_whatever_the_file_says(tmp_path: Path, kind: Kind) -> None:
    (told,) = problems(tmp_path, f'[shelving]\nkinds = ["{kind.value}"]\n')
    assert told.startswith(f"shelving.kinds: '{kind.value}' may be a person's cry and is never put aside; write kinds of")
    assert kind.value not in SHELVABLE_KINDS


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[shelving]\nkinds = ["nonsense"]\n', "shelving.kinds"),
        ("[shelving]\nlongest_s = 28801\n", "shelving.longest_s"),
        ("[desk]\nflood_over = 4\n", "desk.flood_below"),
        ("[desk]\nrunaway = 61\n", "desk.runaway"),
        ("[desk]\nflood_over = 0\n", "desk.flood_over"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, text: str, key: str) -> None:
    (told,) = problems(tmp_path, text)
    assert told.startswith(f"{key}: ")


def test_fewer_kinds_and_shorter_times_are_allowed(tmp_path: Path) -> None:
    assert problems(tmp_path, '[shelving]\nkinds = ["low_battery"]\nlongest_s = 3600\n[desk]\nflood_over = 5\nflood_below = 5\n') == []
