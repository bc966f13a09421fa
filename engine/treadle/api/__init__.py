"""The HTTP API. It creates files in the spool and reads them; it never meets the dispatcher."""
