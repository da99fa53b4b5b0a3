"""An account's database: names, uids, flags, modseqs; shared by every store on disk."""
