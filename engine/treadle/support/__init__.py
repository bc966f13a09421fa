"""Small tools without any knowledge of jobs: batching, retrying, hints, background tasks."""
