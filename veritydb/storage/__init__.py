"""Machines: how one replica remembers. Formats and recovery decisions over a disk it is given."""
