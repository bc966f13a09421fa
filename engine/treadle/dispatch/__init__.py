"""How a job runs and ends: the backlog, the claim, its attempts, their outcome, and recovery at the start."""
