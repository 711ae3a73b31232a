"""An order in words: as a short text, as a mail, as a line in a chat group; in Chinese and in English, from the JSON of the order.

Least data: only what the order itself holds, which the core has cut down for this responder.
"""

import hashlib
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from gateway.core.duty import CHINA
from gateway.dispatch.words import kind_said, service_said

MAX_NAME, MAX_ADDRESS = 30, 160  # characters of a name and of an address

Said = dict[str, Any]
"""The JSON of an order, or of the notice that it is withdrawn or taken; `page`: the signed link by which it is seen and answered; `text` in place
of `kind`: words to be sent as they are (`subject`: of a mail)."""


class Words(NamedTuple):
    """The sentences of one language. {0}, {1}: filled in by the functions below."""

    again: str
    also: str
    comma: str
    stop: str
    years: str
    device: str
    place: str
    ask: str
    taken: str
    withdrawn: str
    answer: str
    coded: str
    link: str
    subject: str
    details: str
    reply_by: str
    group: str
    group_link: str
    others: str


WORDS = {
    "zh-CN": Words(
        again="再次呼叫，",
        also="，另有{0}",
        comma="，",
        stop="。",
        years="{0}岁",
        device="设备 {0}",
        place="位置 {0:.5f},{1:.5f}",
        ask="地点请问 12349",
        taken="{0} 已有人前往，您不必再去。",
        withdrawn="{0} 已撤回，您不必前往。",
        answer="回复：1 接受，2 拒绝，3 到达，4 完成",
        coded="回复：1 {0} 接受，2 {0} 拒绝，3 {0} 到达，4 {0} 完成",
        link="查看并答复：{0}",
        subject="12349 派单 {0}：{1}",
        details="对象：{0}",
        reply_by="请在 {0} 前答复。",
        group="{0} {1}，{2}。",
        group_link="接单：{0}",
        others="另有 {0} 条通知：{1}",
    ),
    "en": Words(
        again="again: ",
        also=", also {0}",
        comma=", ",
        stop=". ",
        years="aged {0}",
        device="device {0}",
        place="at {0:.5f},{1:.5f}",
        ask="ask 12349 where",
        taken="{0}: somebody else is on the way, you need not go.",
        withdrawn="{0}: withdrawn, you need not go.",
        answer="Reply 1 accept, 2 decline, 3 arrived, 4 done",
        coded="Reply 1 {0} accept, 2 {0} decline, 3 {0} arrived, 4 {0} done",
        link="See and answer: {0}",
        subject="12349 order {0}: {1}",
        details="For: {0}",
        reply_by="Please answer before {0}.",
        group="{0} {1}, {2}.",
        group_link="Take it: {0}",
        others="{0} more notices: {1}",
    ),
}


def read_order(body: bytes) -> Said:
    """The JSON of an order."""
    return msgspec.json.decode(body, type=dict[str, Any])


def is_order(said: Said) -> bool:
    """Is it an order, and not the notice that one is withdrawn, taken, or plain words?"""
    return "kind" in said


def words_of(language: str) -> Words:
    """The sentences of a language; Chinese when there are none."""
    return WORDS.get(language, WORDS["zh-CN"])


def code_of(delivery: str) -> str:
    """Four digits that bind an answer to its delivery: always the same for one, so that nothing need be remembered over a restart."""
    return f"{int.from_bytes(hashlib.sha256(delivery.encode()).digest()[:4]) % 10_000:04}"


def short_text(said: Said, language: str = "zh-CN", *, head: str = "【12349】", how: str = "", limit: int = 800) -> str:
    """What a responder reads on a telephone: what, who, where, how to answer; at most `limit` octets of UTF-8, the address is cut first."""
    words = words_of(language)
    if "text" in said:
        return _cut(head + str(said["text"]), limit)
    if not is_order(said):
        return head + (words.taken if "taken_by" in said else words.withdrawn).format(said.get("incident", ""))
    again = words.again if said.get("repeat") else ""
    before = f"{head}{again}{_what(said, language)} {said['incident']}{'：' if words is WORDS['zh-CN'] else ': '}"
    after = words.stop + (how or words.answer)
    if page := said.get("page"):
        after += words.stop + words.link.format(page)
    return before + _cut(where_said(said, language), limit - len(before.encode()) - len(after.encode())) + after


def coded_answers(delivery: str, language: str) -> str:
    """How to answer a text whose order is known by its code."""
    return words_of(language).coded.format(code_of(delivery))


def mail_text(said: Said, language: str) -> tuple[str, str]:
    """(subject, text) of a mail. The subject names nobody: it stands in lists and on locked screens."""
    words = words_of(language)
    if "text" in said:
        return str(said.get("subject") or "12349")[:100], str(said["text"])
    subject = words.subject.format(said.get("incident", ""), _what(said, language) if is_order(said) else "-")
    if not is_order(said):
        sentence = (words.taken if "taken_by" in said else words.withdrawn).format(said.get("incident", ""))
        return subject.removesuffix("：-").removesuffix(": -"), sentence
    lines = [f"{_what(said, language)} {said['incident']}", words.details.format(where_said(said, language))]
    lines += [str(said[name]) for name in ("wish", "note") if said.get(name)]
    if said.get("reply_by"):
        lines.append(words.reply_by.format(str(said["reply_by"])[:16].replace("T", " ") + " UTC"))
    if page := said.get("page"):
        lines.append(words.link.format(page))
    return subject, "\n".join(lines)


def group_text(said: Said, language: str, area: str, *, details: bool, link: bool = False) -> str:
    """What a chat group reads: number, kind and area; name and address only where the group may know them."""
    words = words_of(language)
    if not is_order(said):
        return short_text(said, language, head="")
    where = where_said(said, language) if details else area or words.ask
    text = (words.again if said.get("repeat") else "") + words.group.format(_what(said, language), said["incident"], where)
    return f"{text} {words.group_link.format(said['page'])}" if link and said.get("page") else text


def where_said(said: Said, language: str) -> str:
    """Who and where, as far as the order says it."""
    words = words_of(language)
    person = said.get("person")
    if person is not None:
        age = words.years.format(person["age"]) if person.get("age") else ""
        parts = [str(person.get("name") or "")[:MAX_NAME], age, str(person.get("address") or "")[:MAX_ADDRESS]]
        if parts[-1]:
            return words.comma.join(part for part in parts if part)
    else:
        parts = [words.device.format(said["device"]) if said.get("device") else ""]
    position = said.get("position")
    if position is not None:
        parts.append(words.place.format(position["lat"], position["lon"]))
    return words.comma.join(part for part in parts if part) or words.ask


def _what(said: Said, language: str) -> str:
    if said.get("service"):
        wanted = datetime.fromisoformat(said["wanted_at"]).astimezone(CHINA).strftime(" %m-%d %H:%M") if said.get("wanted_at") else ""
        return service_said(said["service"], language) + wanted
    also = [kind_said(kind, language) for kind in said.get("also") or ()]
    joined = ("、" if language == "zh-CN" else ", ").join(also)
    return kind_said(said["kind"], language) + (words_of(language).also.format(joined) if also else "")


def _cut(text: str, limit: int) -> str:
    """At most so many octets of UTF-8, and no half character."""
    return text.encode()[: max(0, limit)].decode("utf-8", "ignore")
