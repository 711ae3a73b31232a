"""The sniffer, a program of its own on scapy: mirror port or capture file in, HEPv3 out to the gateway's hep line.

program (command line), live (the listening socket), replay (a file in its time), unusual (frames that only scapy knows), sieve (SIP and nothing
else, each message once), hep (the packet), sender (UDP or TCP), report (what was seen and lost). Imports scapy, the standard library and
drivers.capture; nothing of the gateway, whose process scapy's licence (GPL-2.0-only) must not enter.
"""
