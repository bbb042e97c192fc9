"""Shell: what is sent and stored, as Cap'n Proto. The only importer of capnp for encoding."""
