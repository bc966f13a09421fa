"""How a job comes in: over HTTP through the gateway, or from the drop folder. Both pass admission."""
