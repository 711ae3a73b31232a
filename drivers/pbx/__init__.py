"""Exchanges that tell their calls themselves: Asterisk by AMI, FreeSWITCH by ESL. Codecs only, no I/O."""
