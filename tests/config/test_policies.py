"""policies/*.toml: what is right is read, what is wrong is told with file, key and remedy; `gateway check` and a reload know them."""

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config import Config, examine_config, read_config
from gateway.config.policies import StepConfig, read_chains
from gateway.errors import ConfigError
from gateway.register_files import reload

SHIPPED = Path(__file__).parents[2] / "config"
GOOD = '[[step]]\nafter_s = 60\nto = "desk"\nhow = "ring"\n'

BAD = [
    ("no step", "", "step", "write [[step]]"),
    ("unknown key", GOOD + 'who = "desk"\n', "step[1].who", "is not known"),
    ("unknown role", GOOD.replace('"desk"', '"mayor"'), "step[1].to", "mayor"),
    ("unknown way", GOOD.replace('"ring"', '"shout"'), "step[1].how", "shout"),
    ("no time", GOOD.replace("after_s = 60\n", ""), "step[1].after_s", "is missing"),
    ("before it began", GOOD.replace("60", "-1"), "step[1].after_s", "expected a number >= 0"),
    ("the desk ordered", GOOD.replace('"ring"', '"order"'), "step[1].how", "cannot be ordered"),
    ("a station rung", GOOD.replace('"desk"', '"parent"'), "step[1].how", "no console"),
    ("times without a pause", GOOD + "times = 3\n", "step[1].repeat_every_s", "is missing beside times"),
    ("quiet all day", GOOD + 'quiet = "08:00-08:00"\n', "step[1].quiet", "whole day"),
    ("quiet no time", GOOD + 'quiet = "at night"\n', "step[1].quiet", "write it like 22:00-07:00"),
    ("second of two", GOOD + GOOD.replace("60", '"soon"'), "step[2].after_s", "expected a number"),
    ("told too often", "".join(f"{GOOD}times = 100\nrepeat_every_s = 1\n" for _ in range(6)), "step", "600 times"),
    ("no TOML", "[[step]\n", "ours.toml", "no valid TOML"),
]


def written(folder: Path, text: str, head: str = '[policy.critical]\nsteps = "ours"\n') -> Path:
    (folder / "districts" / "honggu").mkdir(parents=True)
    (folder / "policies").mkdir()
    (folder / "policies" / "ours.toml").write_text(text)
    (folder / "gateway.toml").write_text(head)
    return folder / "gateway.toml"


@pytest.mark.parametrize(("text", "where", "what"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_each_fault_names_file_key_and_remedy(tmp_path: Path, text: str, where: str, what: str) -> None:
    _, problems = examine_config(written(tmp_path, text))
    assert len(problems) == 1, problems
    assert all(word in problems[0] for word in ("ours.toml", where, what, "; "))


def test_a_chain_that_nobody_wrote_is_missed(tmp_path: Path) -> None:
    _, problems = examine_config(written(tmp_path, GOOD, '[policy.major]\nsteps = "theirs"\n'))
    assert [problem.split("gateway.toml: ")[-1] for problem in problems] == [
        "policy.major.steps: there is no policies/theirs.toml; write it, or correct the name"
    ]


def test_those_we_ship_are_right_and_show_every_key() -> None:
    chains, problems = read_chains(SHIPPED / "policies")
    assert problems == []
    assert chains.keys() == {"critical", "major"}
    text = "".join(path.read_text() for path in (SHIPPED / "policies").glob("*.toml"))
    assert [field for field in StepConfig.__struct_fields__ if f"{field} = " not in text] == []


def test_without_any_it_is_as_before() -> None:
    assert {getattr(Config().policy, severity).steps for severity in ("critical", "major", "minor", "warning")} == {""}


def test_a_reload_reads_them_again_and_a_faulty_one_changes_nothing(tmp_path: Path) -> None:
    config = SHIPPED / "gateway.toml"
    text = config.read_text().replace('districts = "districts"', f'districts = "{SHIPPED / "districts"}"')
    mine = written(tmp_path, GOOD, text.replace('order = "at_once"\naccept_acknowledges = false\nsteps = ""', 'order = "at_once"\nsteps = "ours"'))
    before = read_config(mine)
    assert before.policy.critical.steps == "ours"
    (tmp_path / "policies" / "ours.toml").write_text(GOOD.replace("60", "30"))
    after, _ = reload(mine, before)
    assert after.chains["ours"].step[0].after_s == 30
    assert after.waiting == ()
    (tmp_path / "policies" / "ours.toml").write_text("")
    with pytest.raises(ConfigError, match=r"ours\.toml: step: has no step"):
        reload(mine, after)


def test_check_tells_the_chains_and_doubts_quiet_hours_of_alarms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = SHIPPED / "gateway.toml"
    text = config.read_text().replace('districts = "districts"', f'districts = "{SHIPPED / "districts"}"')
    mine = written(
        tmp_path, f'{GOOD}quiet = "22:00-07:00"\n', text.replace('order = "at_once"\naccept_acknowledges = false\nsteps = ""', 'steps = "ours"')
    )
    assert main(["check", "--config", str(mine), "--lang", "en"]) == 0
    said = capsys.readouterr().out
    assert "Escalation: critical ours" in said
    assert "1 step has quiet hours, which count for nothing when a person or a home cries: step[1]" in said
