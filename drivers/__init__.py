"""Drivers: how signals reach the gateway. A line owns one connection, a codec knows one language; any stream codec runs over any stream line.

contract (the two protocols), registry (what exists, one line each), supervisor (keeps lines running), lines/ (how bytes
arrive), sip/ panel/ mqtt/ (what the bytes mean).
"""
