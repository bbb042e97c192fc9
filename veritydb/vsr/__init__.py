"""How replicas agree on a sequence of opaque frames. Viewstamped Replication, sans I/O."""
