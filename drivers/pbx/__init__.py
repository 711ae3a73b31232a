"""Exchanges that tell their calls themselves. Codecs only, no I/O, no clock.

ledger (the calls), ami with ami_message, ami_channel, ami_calls and ami_wishes (Asterisk), esl with esl_message and esl_calls (FreeSWITCH),
dialog_info with dialog_body (busy lamps).
"""
