"""`gateway doctor`: one small file a topic (what is looked at), `checks` their table, `words` what is said, `command` how it is printed."""

from gateway.doctor.checks import CHECKS, TOPICS, examine, examine_file
from gateway.doctor.command import add_parser, run
from gateway.doctor.finding import Finding, Level

__all__ = ["CHECKS", "TOPICS", "Finding", "Level", "add_parser", "examine", "examine_file", "run"]
