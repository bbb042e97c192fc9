"""VerityDB at scale: faults in a row, half an hour of full load, and what grows with the data.

    python -m benchmarks.scale --help

Nothing here is imported by the product.
"""
