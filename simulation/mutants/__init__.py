"""Every gate of the protocol taken away, one at a time: does the simulator notice?

sites.py      where the gates are, in the source, and what becomes of it without one of them
planting.py   functions compiled from changed source in place of the running ones
probes.py     what a run notes of the gates that make a difference in it
hunt.py       which seeds a gate matters in, and whether one of them fails without it
harmless.py   gates that nothing depends on but speed, each with the reason
"""
