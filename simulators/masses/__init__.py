"""What many do at once: a district of people living alone, a street gateway that dies, a firmware that cries all night.

register    an invented district, as files for a gateway
rhythm      the day of one person
gongshu     22,000 such days on a broker; some of them end
street      devices behind one gateway, which falls silent and comes back
firmware    one model that sends falls without end, while others cry
command     `simulate mass`
"""
