"""What a SIP MESSAGE may carry. No I/O, no clock.

handler (the contract and the table), scaip with scaip_text, scaip_codes and scaip_signal (home units), cap (alerts), text_body (somebody
writes), pidf (where somebody is).
"""
