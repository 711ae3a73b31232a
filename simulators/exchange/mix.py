"""How calls go in an hour at a hotline: a mix of outcomes, hotlines, numbers and names, and people who ring again. All by a seed.

The three hotlines are the district's (S1: 12349, with 12345 and 6212345 beside it). The shares are invented: no document gives them.
"""

import random
from dataclasses import dataclass

from simulators.exchange.call import Mode, Plan
from simulators.sip_text import chinese_forms

# scenario → how many of a hundred calls
SHARES = {
    "answered": 60,
    "abandoned": 9,
    "queue_timeout": 4,
    "direct": 5,
    "cancelled": 3,
    "busy": 3,
    "no_answer": 3,
    "declined": 2,
    "blind_transfer": 3,
    "attended_transfer": 2,
    "restricted": 2,
    "late_number": 2,
    "anonymous": 2,
}
HOTLINES = {"12349": 80, "12345": 14, "6212345": 6}
FAULTS = ("lost_bye", "forked_200", "late_ack", "re_invite")
NAMES = ("王秀英", "李桂兰", "张建国", "刘玉珍", "陈德明", "杨淑华")  # invented
CALLERS = "+8617400{:06d}"  # no subscribers in China have such numbers
GBK_SHARE = 0.1
REPEAT_SHARE = 0.5  # of those whom nobody took
LOST = ("abandoned", "missed")
LIMITED = (0.2, 3.0)  # a duration is between these many times its mean: a run must end


@dataclass(frozen=True, slots=True)
class Placed:
    """One call to be placed. caller: the true number in E.164, "" for anonymous; form: what the trunk shows; again_s: rings again so long after."""

    plan: Plan
    caller: str
    form: str
    called: str


class Mix:
    """Draws calls. talk_s: mean talk; area_code: of the trunk ("0931"), for numbers in local form; faults: share of calls with one."""

    def __init__(self, seed: object, *, talk_s: float = 30.0, faults: float = 0.0, area_code: str = "0931", hotlines: tuple[str, ...] = ()) -> None:
        self.talk_s = talk_s
        self.hotlines = hotlines or tuple(HOTLINES)
        self._faults = faults
        self._area_code = area_code
        self._random = random.Random(f"mix:{seed}")

    def draw(self) -> Placed:
        """The next call, of somebody who may have called before."""
        chance = self._random
        scenario = chance.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        caller = "" if scenario == "anonymous" else CALLERS.format(chance.randrange(20_000))
        called = chance.choices(self.hotlines, [HOTLINES.get(name, 10) for name in self.hotlines])[0]
        return Placed(self._plan(scenario), caller, self._form(caller), called)

    def again(self, placed: Placed) -> tuple[float, Placed] | None:
        """Whether somebody whom nobody took rings again: after so many seconds, and how that call goes."""
        if not placed.caller or self._random.random() >= REPEAT_SHARE:
            return None
        scenario = self._random.choice(("answered", "answered", "abandoned"))
        return self._around(self.talk_s / 4), Placed(self._plan(scenario), placed.caller, placed.form, placed.called)

    def _form(self, caller: str) -> str:
        return self._random.choice(chinese_forms(caller, self._area_code)) if caller else ""

    def _plan(self, scenario: str) -> Plan:
        chance = self._random
        name = chance.choice(NAMES) if chance.random() < GBK_SHARE else ""
        direct = scenario in ("direct", "cancelled", "busy", "no_answer", "declined")
        silent = scenario in ("abandoned", "queue_timeout", "cancelled", "no_answer")
        waits_s = self._around(self.talk_s / 4)
        return Plan(
            scenario=scenario,
            mode=Mode.DIAL if direct else Mode.QUEUE,
            agent_does={"busy": "busy", "declined": "declines"}.get(scenario, "nothing" if silent else "answers"),
            ring_s=self._around(min(3.0, self.talk_s / 8)),
            talk_s=self._around(self.talk_s),
            patience_s=waits_s if scenario in ("abandoned", "cancelled") else 1e9,
            ring_timeout_s=waits_s if scenario == "no_answer" else max(15.0, self.talk_s / 2),
            queue_timeout_s=waits_s if scenario == "queue_timeout" else self.talk_s * 20,
            hangs_up=chance.choice(("caller", "caller", "agent")),
            transfer={"blind_transfer": "blind", "attended_transfer": "attended"}.get(scenario, ""),
            transfer_after_s=self._around(self.talk_s / 8),
            name=name.encode("gbk").decode("utf-8", "surrogateescape"),
            restricted=scenario == "restricted",
            late_number=scenario == "late_number",
            fault=chance.choice(FAULTS) if chance.random() < self._faults else "",
        )

    def _around(self, mean: float) -> float:
        """A duration around the mean: most are shorter, some much longer, none endless."""
        low, high = LIMITED
        return min(max(self._random.expovariate(1 / mean), low * mean), high * mean)
