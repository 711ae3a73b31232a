"""Drivers: how signals reach the gateway. A line owns one connection, a codec knows one language; any stream codec runs over any stream line.

contract (the two protocols), registry (what exists, one line each), supervisor (keeps lines running), lines/ (how bytes
arrive), sip/ panel/ mqtt/ pbx/ (what the bytes mean), capture/ (packets out of captured frames), sniffer/ (a program of its own on scapy).
"""
