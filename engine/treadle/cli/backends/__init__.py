"""The backends of the commands for jobs: an HTTP server, or a spool's folder."""
