"""Telephony. message (SIP parser), hep3 (HEP packets), number and caller (who calls), call (states as one table), call_tracker
(messages to calls), hep (the codec that joins them for a datagram line)."""
