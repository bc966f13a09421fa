"""What keeps the engine well: housekeeping, metrics, and what systemd is told."""
