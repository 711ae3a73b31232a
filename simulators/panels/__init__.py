"""Alarm panels, receivers, nurse-call masters and pagers, written from their protocols' facts and not from the gateway's codecs.

Each keeps a record of what it said and of what was confirmed to it, and repeats as its protocol has it.
"""
