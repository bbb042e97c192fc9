"""The SDK: one asyncio implementation, reached through three faces that differ in nothing else."""
