"""A closed incident leaves memory and comes back when somebody asks for it, or complains."""

from pathlib import Path

import pytest

from gateway.core.command import Command
from gateway.core.incident import Action, State
from gateway.errors import Refused
from tests.house.test_pipeline import cry, running


async def test_a_complaint_after_a_restart_reopens(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        await path.pipeline.receive([cry("w-1")])
        (name,) = path.working.incidents
        for action, facts in ((Action.ACKNOWLEDGE, {}), (Action.RESOLVE, {"outcome": "helped"}), (Action.CALL_BACK, {})):
            await path.pipeline.command(Command(action=action, actor="Li Na", incident=name, facts=dict(facts)))
    complaint = Command(action=Action.COMPLAIN, actor="Li Na", incident=name, facts={"note": "nobody came"})
    async with running(tmp_path) as path:
        with pytest.raises(Refused, match="unknown_incident"):
            await path.pipeline.command(complaint)
        await path.pipeline.recall(name)
        assert (await path.pipeline.command(complaint)).state is State.ACKNOWLEDGED
        assert (path.working.opened, path.working.closed) == (1, 0)


async def test_nobody_is_recalled_who_never_was(tmp_path: Path) -> None:
    async with running(tmp_path) as path:
        await path.pipeline.recall("I999999")
        assert path.working.incidents == {}
