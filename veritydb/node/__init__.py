"""One replica minus the world: agreement (vsr) and meaning (kernel) composed. Sans I/O."""
