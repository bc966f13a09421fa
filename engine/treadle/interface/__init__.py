"""The types that all packages share: jobs, services, attempts, runtimes, parsers, hooks and settings."""
