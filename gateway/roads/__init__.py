"""Travel times by a road network: prepared offline by Valhalla, station by station, and looked up like a table. Always an estimate (domain 2.6).

On the way of an alarm stands nothing but an index into an array; what the table does not know is a straight line again (decision note 0024).
"""
