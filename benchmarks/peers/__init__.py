"""VerityDB beside what people would use instead: etcd, NATS JetStream, PostgreSQL with standbys.

    python -m benchmarks.peers --help

Each is a cluster of three nodes on loopback that acknowledges what a quorum has synced to disk, and
all of them get the same work in one run, in turns.
"""
