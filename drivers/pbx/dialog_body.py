"""The body of a dialog-info NOTIFY (RFC 4235): the dialogs that a phone or a number has, as its exchange tells them."""

import msgspec

from drivers.sip.caller import NOBODY
from drivers.sip.message import NameAddr, Uri
from drivers.sip.xml_body import Element, MalformedXml, read_xml

MAX_DIALOGS = 100  # in one body; a phone has a handful, a hotline number a queue's length

REASONS = ("bad_xml", "forbidden_xml", "not_dialog_info", "too_deep", "too_long")
"""Every reason for which a body is rejected."""

_WHY = {486: "busy", 600: "busy", 603: "declined", 408: "no_answer", 480: "no_answer", 487: "cancelled"}
_EVENTS = {"timeout": "no_answer", "cancelled": "cancelled", "rejected": "declined", "error": "failure"}


class Dialog(msgspec.Struct, frozen=True, kw_only=True):
    """One `dialog` element. remote, local: the users of the identities, "" when nobody is named; event and code: how it ended."""

    id: str
    state: str
    direction: str = ""
    call_id: str = ""
    remote: str = ""
    remote_name: str = ""
    local: str = ""
    event: str = ""
    code: int | None = None

    @property
    def why(self) -> str:
        return _WHY.get(self.code or 0) or _EVENTS.get(self.event, "not_taken")

    @property
    def told(self) -> str:
        """As it stands in `kind_raw`."""
        return f"{self.state}:{self.event}" if self.event else self.state


class DialogInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One body. version None: the exchange does not count."""

    version: int | None
    is_full: bool
    entity: str
    dialogs: tuple[Dialog, ...]


def read_dialog_info(body: bytes) -> DialogInfo:
    """Raises MalformedXml (reasons: `REASONS`). Elements are known by their local names, because namespaces vary."""
    root = read_xml(body)
    if root.name != "dialog-info":
        raise MalformedXml("not_dialog_info")
    return DialogInfo(
        version=_whole(root.attributes.get("version", "")),
        is_full=root.attributes.get("state", "full") != "partial",
        entity=root.attributes.get("entity", ""),
        dialogs=tuple(_dialog(child) for child in root.children[:MAX_DIALOGS] if child.name == "dialog"),
    )


def _dialog(element: Element) -> Dialog:
    state = element.child("state")
    remote, name = _party(element.child("remote"))
    attributes = state.attributes if state is not None else {}
    return Dialog(
        id=element.attributes.get("id", ""),
        state=state.text.lower() if state is not None else "",
        direction=element.attributes.get("direction", "").lower(),
        call_id=element.attributes.get("call-id", ""),
        remote=remote,
        remote_name=name,
        local=_party(element.child("local"))[0],
        event=attributes.get("event", "").lower(),
        code=_whole(attributes.get("code", "")),
    )


def _party(element: Element | None) -> tuple[str, str]:
    """(user, display name): the identity, else where the far end says it can be reached."""
    if element is None:
        return "", ""
    identity, target = element.child("identity"), element.child("target")
    address = NameAddr(identity.text if identity is not None else "")
    name = (identity.attributes.get("display", "") if identity is not None else "") or address.display
    user = address.user
    if user.lower() in NOBODY and target is not None:
        user = Uri(target.attributes.get("uri", "")).user
    return ("" if user.lower() in NOBODY else user), ("" if name.lower() in NOBODY else name)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
