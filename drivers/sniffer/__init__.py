"""The sniffer, a program of its own on scapy: mirror port or capture file in, HEPv3 out to the gateway's hep line.

program (command line), live (the listening socket), replay (a file in its time), unusual (frames that only scapy knows), sieve (SIP and nothing
else, each message once), hep (the packet), sender (UDP or TCP), report (what was seen and lost). Imports scapy, the standard library and
drivers.capture; nothing of the gateway, whose process scapy's licence (GPL-2.0-only) must not enter.
"""

import sys


def main() -> int:
    """The console script: the program, or why it cannot start."""
    try:
        from drivers.sniffer.program import main as run
    except ModuleNotFoundError as error:
        print(f"gateway-sniffer: {error.name} is not installed; install it with: pip install 'gateway-12349[capture]'", file=sys.stderr)
        return 1
    return run()
