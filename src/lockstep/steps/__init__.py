"""What is computed: one verb a file, pure functions; no file, no clock, no server."""
