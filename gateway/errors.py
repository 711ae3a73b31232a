"""Errors that the parts of the house raise to one another; each names the culprit and the remedy."""


class GatewayError(Exception):
    """Anything we raise on purpose; its text is fit to be shown to a person."""


class ConfigError(GatewayError):
    """The configuration cannot be used. `problems` holds every fault found, each with file, key and remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class GaveWay(GatewayError):
    """This gateway has left its work to the one of a later take-over. Starting it again helps nobody: a person must decide."""


class LineError(GatewayError):
    """A line's connection is lost or cannot be made: try again later. Anything else from a line is our bug."""


class Refused(GatewayError):
    """A command cannot be carried out. `reason` is a lower_snake word, `facts` what the page shows beside it.

    Shape: {"reason": "already_acknowledged", "by": "李娜", …}; HTTP status 409 unless `status` says otherwise.
    """

    def __init__(self, reason: str, status: int = 409, **facts: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.facts = facts


class StoreDown(GatewayError):
    """Nothing can be written at the moment (disk full, database away). The batch is held and tried again."""


class StoreBroken(GatewayError):
    """The journal or the schema is not what it must be; the house does not start on it."""
