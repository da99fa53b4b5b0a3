"""The one door into the queue: rewriting, missing headers, address expansion, commit."""
