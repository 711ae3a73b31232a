"""Packets out of captured frames, standard library only: what the sniffer and `gateway decode` share.

file (pcap and pcapng), link (what stands before IP), pieces (ranges in any order), fragments (IP), tcp (directions of a connection),
packets (all of these in a row: frames in, payloads out), sip (messages out of a stream). Imports nothing of ours and nothing of scapy,
so that a program on scapy (GPL) and the gateway may both use it.
"""
