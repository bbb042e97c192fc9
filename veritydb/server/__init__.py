"""The shell: config, loop, disks, network, clocks, and one handler file per capability."""
