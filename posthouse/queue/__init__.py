"""The queue's store: shards, group commit, content files, queue ids."""
