"""Panels, button receivers and pagers.

espa444             ESPA 4.4.4, with espa_*
sia_dc09            SIA DC-09, with dc09_*, sia_codes and accounts; contact_id with contact_id_codes; meaning: what a code means on a line
ness, elk           panels that tell their whole state, with ness_packet, elk_message and zones (what zones mean, states that are known)
alarmdecoder        an adapter for Ademco and DSC panels
ascii_button        433 MHz receivers
tap, comp2          pages of nurse-call systems, with tap_block, text_rules (what a text means); tap_sender and pager: pages that we send
lines               text lines of all of them: bounds, folding, quality of the line
"""
