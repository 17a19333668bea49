"""Which memory the assistant uses, and which part of it is one client's. Not here: what is kept there (`groupagents`)."""

from __future__ import annotations

import os
import re

from mnemic import (
    ConfigError,
    InvalidInputError,
    MemoryManager,
    create_dev_memory_manager,
    create_production_memory_manager,
)

# No two underscores in a row: they part an office's namespace from its client's, so that two pairs never meet in one namespace.
_CLIENT = re.compile(r"[a-z0-9]+([_-][a-z0-9]+)*")
_CLIENT_LENGTH = 32


def choose_memory() -> MemoryManager:
    """The memory that ``ENV`` asks for: ``development`` (also if unset) in this process, ``staging`` and ``production`` on servers.

    Any other value is a ``ConfigError``: a misspelled ``production`` must not become a memory that keeps nothing.
    """
    env = os.getenv("ENV", "development")
    if env == "production":
        return create_production_memory_manager(namespace="production")
    if env == "staging":
        return create_production_memory_manager(namespace="staging")
    if env == "development":
        return create_dev_memory_manager()
    raise ConfigError(f"ENV: expected development, staging or production, found {env!r}", field="ENV")


def check_client(client: str) -> str:
    """The id of a client, if it can be part of a namespace's name."""
    if len(client) > _CLIENT_LENGTH or not _CLIENT.fullmatch(client):
        expected = f"at most {_CLIENT_LENGTH} characters: words of a-z and 0-9 joined by single - or _"
        raise InvalidInputError(f"client: expected {expected}, found {client[:80]!r}", field="client")
    return client


def client_memory(office: MemoryManager, client: str) -> MemoryManager:
    """The memory of one client: a namespace of its own, which no call about another client reaches."""
    return office.in_namespace(f"{office.namespace}__{check_client(client)}")
