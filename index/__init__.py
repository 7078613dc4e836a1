"""Documents become chunks, chunks become a searchable store."""
