"""What VerityDB costs: our own appends, reads and outages, measured on real processes.

    python -m benchmarks --help

Three nodes and their clients run on loopback. Nothing here is imported by the product.
"""
