"""Adapters to frameworks, one module each, each an extra of the package (``pip install mnemic[langgraph]``).

Nothing here is imported by the rest of the package, and no module here imports another framework than its own.
"""
