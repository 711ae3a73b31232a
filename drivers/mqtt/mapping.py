"""The codec `mapping`: messages of any broker, read with profiles. Which profiles a line has is decided when it is built; faulty ones stay out."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from drivers.contract import Rejected, Signal, Surroundings
from drivers.downlink import Tell
from drivers.mqtt.message import MAX_TOPIC, refuse_oversize
from drivers.mqtt.profile import Profile
from drivers.mqtt.profile_rules import Message, Rule
from drivers.mqtt.topic_pattern import narrowed
from gateway.event import ALARM_KINDS, Kind, Phase

# mapping.md: one failing profile is switched off after 100 errors in a minute and shown.
MAX_FAULTS = 100
FAULT_WINDOW_S = 60.0
# So long it is off; then it is tried again, as the device that sent nonsense may be gone. Short, because what its other devices say meanwhile is
# only kept for inspection; long enough to save the line's time.
OFF_S = 60.0
# Messages that no rule understood, kept for inspection per minute and shape of topic: enough to write a rule by, too few to fill a disk.
KEPT_PER_MINUTE = 5
MAX_SHAPES = 1000
MAX_ROUTES = 20_000  # topics whose rules are remembered; ours of a whole district. Beyond it they are found anew: 1 µs a pattern
MAX_ROUTE = 200  # characters of a topic that is remembered: ours have under 100, and 20,000 of 1 KiB would be 20 MB of somebody's nonsense
MAX_HEARD = 10_000  # devices whose way back is remembered: those that cried last
MAX_KEPT_PAYLOAD = 4096  # bytes of a message kept for inspection

REASONS = (
    "bad_device", "bad_json", "device_mismatch", "mapping_error", "no_device", "no_rule", "profile_off", "too_deep", "too_long", "too_many_items",
)  # fmt: skip
"""Every reason for which a message is rejected."""

_NAMED = re.compile(r"\{(\w+)\}")
_UNSAFE = re.compile(r"[+#\x00-\x1f\x7f]")


class Refused(NamedTuple):
    """A profile that this line does without: its name or file, and the first fault."""

    name: str
    fault: str


class ProfileState(NamedTuple):
    """How one profile of a line does. state: running, refused (at the start, for a fault of its own), shut_off (it failed too often)."""

    name: str
    state: str
    fault: str = ""


def profiles_of(line: object, now: float) -> Sequence[ProfileState]:
    """Of a line that was built; none of one that has no such thing. now: monotonic."""
    states: Callable[[float], Sequence[ProfileState]] | None = getattr(getattr(line, "codec", None), "profile_states", None)
    return states(now) if states is not None else ()


class _Health:
    """How a profile does: its faults of this minute, the last one, and until when it is off."""

    __slots__ = ("fault", "faults", "is_told", "off_until", "since")

    def __init__(self) -> None:
        self.faults, self.since, self.off_until, self.is_told = 0, 0.0, 0.0, False
        self.fault = ""


class _Route(NamedTuple):
    """The rules of one profile that fit a topic, each with what the topic's names stand for."""

    profile: Profile
    health: _Health
    rules: tuple[tuple[Rule, Mapping[str, str]], ...]


class MappingCodec:
    """Reads published messages with profiles; each message goes to every profile whose topics fit.

    topics: what to subscribe to. counts: messages ignored, deleted, unread (no rule understood them), and faults.
    Errors are returned as Rejected (`REASONS`); of those that say nothing of one device at most KEPT_PER_MINUTE a minute and shape of topic.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        place: Surroundings | None = None,
        refused: Sequence[Refused] = (),
        topics: tuple[str, ...] = (),
    ) -> None:
        self.profiles = tuple(profiles)
        self.refused = tuple(refused)
        self.topics = topics or narrowed(topic for profile in profiles for topic in profile.topics)
        self.counts: Counter[str] = Counter()
        if refused:
            self.counts["profiles_refused"] = len(refused)
        self._place = place or Surroundings()
        self._health = {profile.name: _Health() for profile in profiles}
        self._routes: dict[str, tuple[tuple[_Route, ...], bool]] = {}
        self._kept: dict[str, int] = {}
        self._minute = -1
        self._heard: dict[str, tuple[Profile, Mapping[str, str]]] = {}
        self._news: list[Signal | Rejected] = []

    def receive_message(self, topic: str, payload: bytes, retain: bool, dup: bool, now: float, received_at: datetime) -> list[Signal | Rejected]:
        """What one publish says; `retain` and `dup` are the flags of the broker's packet."""
        found = self._take_news()
        oversize = refuse_oversize(topic, payload)
        if oversize is not None:
            return [*found, oversize]
        if not payload:  # a retained message was deleted: that says nothing of a device
            self.counts["deleted"] += 1
            return found
        routes, is_ignored = self._routes.get(topic) or self._route(topic)
        message = Message(topic, payload, retain, dup, received_at, self._place.recent)
        is_understood = is_ignored
        why = "no_rule"
        for route in routes:
            health = route.health
            if health.off_until and not self._is_on(route.profile, health, now):
                why = "profile_off"
                continue
            before = len(message.found)
            for rule, captures in route.rules:
                if rule.is_otherwise and len(message.found) > before:
                    continue
                told = rule.apply(message, captures, route.profile.parameters)
                if told == "":
                    is_understood = True
                    if message.found and route.profile.tells:
                        self._remember(message, route.profile, captures)
                    if rule.is_last:
                        break
                elif told == "bad_json":
                    why = told
            if message.faults:
                self._failed(route.profile, health, message, now)
        if message.found:
            found = found + message.found
        elif not is_understood:
            self.counts["unread"] += 1
            self._keep(found, why, topic, payload, received_at)
        elif is_ignored and not routes:
            self.counts["ignored"] += 1
        return found + self._take_news() if self._news else found

    def news(self) -> list[Signal]:
        """How the profiles do, for a line to tell as soon as it stands: refused ones and, so that an old fault ends, the good ones too."""
        refused = [_fault(one.name, Phase.RAISE, "profile_refused", {"reason": "profile_refused", "fault": one.fault[:500]}) for one in self.refused]
        good = [
            _fault(profile.name, Phase.CLEAR, "profile_on", {"reason": "profile_on"})
            for profile in self.profiles
            if not self._health[profile.name].is_told
        ]
        return refused + good

    def profile_states(self, now: float) -> list[ProfileState]:
        """Each profile of the line and how it does; now as in `receive_message`."""
        states = [ProfileState(one.name, "refused", one.fault) for one in self.refused]
        for profile in self.profiles:
            health = self._health[profile.name]
            is_off = now < health.off_until
            states.append(ProfileState(profile.name, "shut_off" if is_off else "running", health.fault if is_off else ""))
        return states

    def _take_news(self) -> list[Signal | Rejected]:
        if not self._news:
            return []
        news, self._news = self._news, []
        return news

    # --- routes

    def _route(self, topic: str) -> tuple[tuple[_Route, ...], bool]:
        """(the rules that may read this topic, is it known to say nothing), remembered."""
        routes: list[_Route] = []
        is_ignored = False
        first = topic.partition("/")[0]
        for profile in self.profiles:
            if any(pattern.match(topic) is not None for pattern in profile.ignore):
                is_ignored = True
                continue
            matched: dict[str, Mapping[str, str] | None] = {}
            rules: list[tuple[Rule, Mapping[str, str]]] = []
            for rule in profile.rules:
                pattern = rule.pattern
                if pattern.first is not None and pattern.first != first:
                    continue
                if pattern.text not in matched:
                    matched[pattern.text] = pattern.match(topic)
                captures = matched[pattern.text]
                if captures is not None and not any(one.match(topic) is not None for one in rule.not_topic):
                    rules.append((rule, captures))
            if rules:
                routes.append(_Route(profile, self._health[profile.name], tuple(rules)))
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        found = (tuple(routes), is_ignored)
        if len(topic) <= MAX_ROUTE:
            self._routes[topic] = found
        return found

    # --- what nobody understood

    def _keep(self, found: list[Signal | Rejected], reason: str, topic: str, payload: bytes, at: datetime) -> None:
        """A rejection for inspection, while there are few: a busy bridge's chatter must not fill the disk."""
        minute = int(at.timestamp() // 60)
        if minute != self._minute:
            self._minute = minute
            self._kept.clear()
        shape = f"{reason}:{_shape(topic)}"
        count = self._kept.get(shape, 0)
        if count >= KEPT_PER_MINUTE or (count == 0 and len(self._kept) >= MAX_SHAPES):
            self.counts["not_kept"] += 1
            return
        self._kept[shape] = count + 1
        found.append(Rejected(reason=reason, raw=payload[:MAX_KEPT_PAYLOAD], detail=ascii(topic[:200])))

    # --- profiles that fail

    def _failed(self, profile: Profile, health: _Health, message: Message, now: float) -> None:
        fault = message.faults[0]
        message.faults.clear()
        self.counts["mapping_errors"] += 1
        if not message.found:
            self._keep(self._news, "mapping_error", message.topic, message.payload, message.received_at)
        if now - health.since >= FAULT_WINDOW_S:
            health.since, health.faults = now, 0
            if health.is_told and not health.off_until:
                health.is_told = False
                self._news.append(_fault(profile.name, Phase.CLEAR, "profile_on", {"reason": "profile_on"}))
        health.faults += 1
        health.fault = fault
        if health.faults >= MAX_FAULTS:
            health.off_until = now + OFF_S
            self.counts["profiles_shut_off"] += 1
            if not health.is_told:
                health.is_told = True
                detail: dict[str, object] = {"reason": "profile_off", "faults": health.faults, "fault": fault, "file": profile.file}
                self._news.append(_fault(profile.name, Phase.RAISE, "profile_off", detail))

    def _is_on(self, profile: Profile, health: _Health, now: float) -> bool:
        if now < health.off_until:
            self.counts["passed_over"] += 1
            return False
        health.off_until, health.since, health.faults = 0.0, now, 0
        if health.is_told:
            health.is_told = False
            self._news.append(_fault(profile.name, Phase.CLEAR, "profile_on", {"reason": "profile_on"}))
        return True

    # --- telling devices

    def _remember(self, message: Message, profile: Profile, captures: Mapping[str, str]) -> None:
        for signal in message.found:
            if isinstance(signal, Signal) and signal.device is not None and signal.kind in ALARM_KINDS:
                self._heard.pop(signal.device, None)
                if len(self._heard) >= MAX_HEARD:
                    del self._heard[next(iter(self._heard))]
                self._heard[signal.device] = (profile, captures)

    def publish_for(self, tell: Tell) -> tuple[str, bytes] | None:
        """(topic, payload) that tells a device this; None when its profile has no word for it, or the way to it is not known."""
        known = self._heard.get(tell.device)
        if known is None:  # since a restart it has not cried: one profile that can say it, and needs nothing but the address
            able = [profile for profile in self.profiles if tell.word.value in profile.tells]
            if len(able) != 1:
                return None
            known = (able[0], {})
        profile, captures = known
        template = profile.tells.get(tell.word.value)
        if template is None:
            return None
        names = {**captures, "device": tell.device, "text": tell.text, "word": tell.word.value, "id": tell.id}
        topic = _filled(template.topic, names, lambda text: text)
        if _NAMED.search(topic) or _UNSAFE.search(topic) or not 0 < len(topic.encode(errors="replace")) <= MAX_TOPIC:
            return None
        return topic, _filled(template.payload, names, _escaped).encode(errors="replace")


def _filled(template: str, names: Mapping[str, str], escape: Callable[[str], str]) -> str:
    """Once through the template: what is put in is not looked through again."""
    return _NAMED.sub(lambda found: escape(names[found[1]]) if found[1] in names else found[0], template)


def _escaped(text: str) -> str:
    """As inside a JSON text."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _shape(topic: str) -> str:
    """First two levels and the number of levels: enough to tell a bridge's chatter from its devices'."""
    levels = topic.split("/", 12)
    return f"{levels[0][:64]}/{len(levels)}" + (f"/{levels[-1][:32]}" if len(levels) > 2 else "")


def _fault(name: str, phase: Phase, raw: str, detail: dict[str, object]) -> Signal:
    """A technical matter of the profile, as if it were a device. An edge: told at each start, and only a change is news."""
    return Signal(kind=Kind.FAULT, phase=phase, kind_raw=raw, device=f"profile:{name}"[:128], edge="profile", detail=detail)
