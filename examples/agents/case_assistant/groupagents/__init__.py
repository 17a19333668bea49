"""The agents: one that takes every command, one that knows about cases."""
