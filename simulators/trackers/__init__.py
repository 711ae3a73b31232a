"""Watches, pendants and trackers that dial the gateway, thousands from one process, written from their protocols' facts.

Each keeps a record of what it said and of what was confirmed to it, and repeats until it is answered.
"""
