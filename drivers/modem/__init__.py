"""A GSM modem on a serial line, without I/O.

gsm_alphabet (septets) · tpdu (short messages as the network has them) · parts (long messages) · at_lines (lines out of bytes) · gsm_modem (the
conversation in AT commands).
"""
