"""What a SIP MESSAGE may carry. No I/O, no clock.

handler (the contract), table (what there is), scaip with scaip_text, scaip_codes and scaip_signal (home units), cap (alerts), text_body (somebody
writes), pidf (where somebody is).
"""
