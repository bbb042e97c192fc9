"""Every bound in the system. A limit is imported from here and never retyped.

Sizes are bytes, times are nanoseconds unless the name says otherwise. Relations between limits are
asserted at import, so that a wrong edit cannot even start.
"""

KIB = 1024
MIB = 1024 * KIB
MS_NS = 1_000_000
SECOND_NS = 1_000 * MS_NS

# -- what a client may send
EVENT_BYTES_MAX = 1 * MIB
BATCH_BYTES_MAX = 8 * MIB
BATCH_EVENTS_MAX = 10_000
BATCH_PARTS_MAX = 256
MULTI_APPEND_STREAMS_MAX = 64
NAME_BYTES_MAX = 255
EVENT_TYPE_BYTES_MAX = 255
EVENT_TAGS_MAX = 16
TAG_BYTES_MAX = 64
ACTOR_BYTES_MAX = 255
METADATA_BYTES_MAX = 16 * KIB
COMMAND_BYTES_MAX = 64 * KIB
REGION_BYTES_MAX = 32
POLICY_TENANTS_MAX = 1_000
POLICY_REGIONS_MAX = 64

# -- what a client may ask for
READ_BYTES_MAX = 8 * MIB
READ_BYTES_DEFAULT = 1 * MIB
READ_EVENTS_MAX = 100_000
LIST_ENTRIES_MAX = 1_000

# -- the log
SECTOR_BYTES = 512
OP_BYTES_MAX = 16 * MIB
OP_ENTRIES_MAX = 4_096
SEGMENT_BYTES = 64 * MIB
REPLICAS_MAX = 5
PIPELINE_OPS_MAX = 32
PIPELINE_BYTES_MAX = 32 * MIB
# Requests that wait at the primary for a place in the pipeline.
PENDING_ENTRIES_MAX = 8_192
PENDING_BYTES_MAX = 64 * MIB

# -- between replicas
MESSAGE_BYTES_MAX = 20 * MIB
PEER_QUEUE_BYTES_MAX = 64 * MIB
PEER_HELLO_BYTES_MAX = 64 * KIB
CATCH_UP_BYTES_MAX = 4 * MIB

# -- sessions and queues
SESSIONS_MAX = 10_000
SESSION_WINDOW = 1_024
CONNECTIONS_MAX = 4_096
CONNECTION_IN_FLIGHT_BYTES_MAX = 64 * MIB
CONNECTION_IN_FLIGHT_CALLS_MAX = 4_096

# -- idempotency of batches that carry neither origin nor exact offset
BATCH_IDS_MAX = 65_536
BATCH_IDS_AGE_NS = 600 * SECOND_NS
# How far the time of a first sending may be ahead of the log time at which it is applied.
SENT_AHEAD_MAX_NS = 1 * SECOND_NS

# -- what one group remembers
STREAMS_MAX = 2_000_000
ORIGINS_MAX = 4_000_000
# Stretches of a stream that are remembered of one origin, to tell where a repeat was applied.
ORIGIN_RUNS_MAX = 4

# -- retention
RETENTION_RUNS_MAX = 256
RETENTION_GRACE_NS = 5 * SECOND_NS
# Streams that one pulse looks at; the next pulse goes on.
PULSE_STREAMS_MAX = 64

# -- time
CLOCK_TOLERANCE_NS = 10 * SECOND_NS

# An event that is legal alone must be legal in a batch, or append could refuse what create allows.
assert EVENT_BYTES_MAX + METADATA_BYTES_MAX + 4 * KIB <= BATCH_BYTES_MAX
# A batch is one entry, an entry never spans two ops, an op never spans two segments.
assert BATCH_BYTES_MAX + COMMAND_BYTES_MAX < OP_BYTES_MAX < SEGMENT_BYTES
assert OP_BYTES_MAX + 64 * KIB < MESSAGE_BYTES_MAX
assert OP_BYTES_MAX <= PIPELINE_BYTES_MAX <= PENDING_BYTES_MAX
assert OP_BYTES_MAX < PEER_QUEUE_BYTES_MAX
assert SEGMENT_BYTES % SECTOR_BYTES == 0
assert EVENT_BYTES_MAX < READ_BYTES_MAX
