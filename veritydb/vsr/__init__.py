"""Machines: how replicas agree on one sequence of opaque frames. Viewstamped Replication, sans I/O."""
