"""Drivers: how signals reach the gateway. A line owns one connection, a codec knows one language; any stream codec runs over any stream line.

contract (the two protocols), telephone (what an exchange may be asked), registry (what exists, one line each), supervisor (keeps lines
running), lines/ (how bytes arrive), panel/ mqtt/ pbx/ calls/ user_agent/ (what the bytes mean), sip/ and bodies/ (what the last three need),
capture/ (packets out of captured frames), sniffer/ (a program of its own on scapy).
"""
