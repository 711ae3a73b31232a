"""Outside witnesses: programs that speak the real wire and import nothing of the gateway or its drivers.

pseudo_terminal, noise     a serial port that can be unplugged; seeded damage to what is sent over it
espa_panel                 ESPA 4.4.4 control station          button_receiver   433 MHz button receiver, RFLink style
wearables                  a fleet on a real MQTT broker       stations          those who get the orders and answer
exchange/                  an exchange with queue and agents: SIP, AMI, event socket and HEP, `simulate exchange`
sip_text, hep_writer, pbx  a scenario's calls through it       operator          a person at the console's HTTP API
home_link, home_call, home_unit
                           SCAIP home units over SIP: alarms, heartbeats, fall-back, the voice call
district                   the register's CSV files, read as data
scenario, cast, plan       who does what when, from a file and a seed
expectations, report       what must come of it, and what did
runner, cli                `simulate SCENARIO`
"""
