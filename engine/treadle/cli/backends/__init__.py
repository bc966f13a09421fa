"""Where a command finds its jobs: over HTTP, or straight on the spool."""
