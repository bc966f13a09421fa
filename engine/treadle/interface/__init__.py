"""What everybody may know: jobs, services, attempts, runtimes, parsers, hooks and settings."""
