"""The HTTP API. It creates files in the spool and reads them; it never imports the dispatcher."""
