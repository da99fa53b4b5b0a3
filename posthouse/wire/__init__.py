"""Protocol grammars and dialogues, both sides, without I/O."""
