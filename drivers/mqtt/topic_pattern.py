"""Topics of a profile: `{base}/{device...}/availability` finds the names in a topic, and says what to subscribe to."""

import re
from collections.abc import Iterable, Mapping

from drivers.mqtt.message import MAX_TOPIC

_PIECE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class TopicPattern:
    """One pattern. ValueError says what is wrong with it.

    {x} is one level or a part of one; {x...} is one or more levels, once in a pattern; + is any level, a last # all that is below.
    {name} of a parameter stands for its value. filter: the narrowest subscription that hears every fitting topic.
    """

    def __init__(self, text: str, parameters: Mapping[str, str]) -> None:
        if not text or len(text.encode()) > MAX_TOPIC:
            raise ValueError(f"must have 1 to {MAX_TOPIC} bytes")
        self.text = text
        self.names: list[str] = []
        for name, value in parameters.items():
            text = text.replace("{" + name + "}", value)
        levels = text.split("/")
        wanted: list[str] = []
        heard: list[str] = []
        for number, level in enumerate(levels):
            if level == "#":
                if number != len(levels) - 1:
                    raise ValueError("# must be the last level")
                heard.append("#")
            elif level == "+":
                wanted.append("[^/]*")
                heard.append("+")
            else:
                wanted.append(self._level(level))
                heard.append("#" if "...}" in level else "+" if "{" in level else level)
        expression = "/".join(wanted)
        if heard[-1] == "#" and levels[-1] == "#":
            expression = f"{expression}(?:/.*)?" if expression else ".*"
        self._match = re.compile(expression, re.DOTALL).fullmatch
        self.filter = "/".join(heard[: heard.index("#") + 1] if "#" in heard else heard)
        self.first = levels[0] if heard[0] not in ("+", "#") else None
        self.shape = "/".join("#" if "...}" in level else "+" if level.startswith("{") and level.endswith("}") else level for level in levels)

    def _level(self, level: str) -> str:
        if "+" in _PIECE.sub("", level) or "#" in level:
            raise ValueError(f"{level!r}: + and # must be whole levels")
        expression, at = "", 0
        for piece in _PIECE.finditer(level):
            name = piece[1].removesuffix("...")
            is_many = name != piece[1]
            if not _NAME.fullmatch(name):
                raise ValueError(f"{piece[0]!r} is no name; write {{device}} or {{device...}}")
            if name in self.names:
                raise ValueError(f"{{{name}}} stands twice; give the second another name")
            if is_many and (piece[0] != level or any("..." in one for one in self.names)):
                raise ValueError(f"{piece[0]} must be a level of its own")
            if is_many and getattr(self, "_has_many", False):
                raise ValueError("two {x...} cannot be told apart; keep one")
            self._has_many = is_many or getattr(self, "_has_many", False)
            self.names.append(name)
            expression += re.escape(level[at : piece.start()]) + f"(?P<{name}>{'.+' if is_many else '[^/]+'})"
            at = piece.end()
        rest = level[at:]
        if "{" in rest or "}" in rest or "{" in _PIECE.sub("", level):
            raise ValueError(f"{level!r} has a brace without its other half")
        return expression + re.escape(rest)

    def match(self, topic: str) -> dict[str, str] | None:
        """What the names stand for, or None when the topic does not fit."""
        found = self._match(topic)
        return None if found is None else found.groupdict()


def covers(wide: str, narrow: str) -> bool:
    """Does subscription filter `wide` hear everything that `narrow` hears?"""
    ours, theirs = wide.split("/"), narrow.split("/")
    for number, level in enumerate(ours):
        if level == "#":
            return number > 0 or not narrow.startswith("$")
        if number >= len(theirs) or (theirs[number] == "#") or (level != "+" and level != theirs[number]):
            return False
    return len(ours) == len(theirs)


def narrowed(filters: Iterable[str]) -> tuple[str, ...]:
    """The same without those that another one covers: overlapping subscriptions may deliver a message twice (MQTT 3.1.1, 3.3.5)."""
    kept: list[str] = []
    for one in dict.fromkeys(filters):
        if not any(covers(other, one) for other in kept):
            kept = [other for other in kept if not covers(one, other)] + [one]
    return tuple(kept)
