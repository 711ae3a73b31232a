"""A telephone exchange with a queue and agents, one model with four faces. It imports nothing of the gateway: an outside witness.

call, desk, happening     one call and its legs; who can be rung; what happens, told to every face in the same order
model, life, steps         the exchange; the life of one call in it, and the single steps of it
virtual, mix              simulated people at the telephones; how calls go in an hour at a hotline
mirror                    HEP face: every SIP message of both legs, as HEPv3
ami_words, ami_server     AMI face: Asterisk's manager interface
esl_words, esl_server     ESL face: FreeSWITCH's event socket
sip_parse, sip_transport, sip_face
                          SIP face over UDP and TCP: SIPp can call, and can play the agents
command                   `simulate exchange`
"""
