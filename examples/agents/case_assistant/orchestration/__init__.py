"""The workflow that a client's message goes through."""
