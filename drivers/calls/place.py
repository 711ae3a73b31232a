"""Where a caller is, as the telephone network says in the INVITE (RFC 6442). Only what came along: a reference to elsewhere is not fetched."""

from drivers.bodies.pidf import Place, read_pidf
from drivers.sip.message import Message
from drivers.sip.multipart import body_parts, part_with_id

PIDF = "application/pidf+xml"


def place_of(message: Message) -> Place | None:
    """The first location that Geolocation points to within the message; without that header any PIDF-LO part. Whom to believe is the caller's."""
    if not message.body:
        return None
    pointed = [part_with_id(message, value.partition(";")[0]) for value in message.values("geolocation")]
    parts = [part for part in pointed if part is not None] or [part for part in body_parts(message) if part.content_type == PIDF]
    return next((place for part in parts if (place := read_pidf(part.body)) is not None), None)
