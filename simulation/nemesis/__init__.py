"""What goes wrong, one file for each family of faults; `director` decides when.

    processes    crashes, pauses, nodes that stay away, nodes that are slow
    links        partitions of every shape, stalled links, kinds of messages that never arrive
    clocks       wall clocks that jump and stop
    disks        errors, full disks, reads that lie once
    rot          what was written and synced is damaged
    promises     disks that forget what they had promised
    operations   what people do: replacing, mixing versions, starting with the wrong files
    core         how the world stays broken in the end, but for a core of replicas

What a packet meets on its way by chance alone is in `simulation.network`.
"""
