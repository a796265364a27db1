"""The reference internal API that the agents' tools call. Replace it by your own."""
