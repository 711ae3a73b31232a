"""`gateway report WHAT`: figures of a period. One file a report; each adds its own words to the command."""

import argparse

from gateway.report import calls, coverage, month, risks

REPORTS = (calls, coverage, month, risks)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `report` with one sub-command a report."""
    parser = subparsers.add_parser("report", help="figures of a period, counted from the journal")
    reports = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for report in REPORTS:
        report.add_parser(reports)
