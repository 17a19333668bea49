"""What flows through the case workflow. Not here: its steps (`steps`), the graph that connects them (`workflow_graph`)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypedDict
from uuid import uuid4

INTERNAL = "internal"
"""The tag of what no client is shown."""


def case_thread(case_id: str) -> str:
    """The thread of a case: its events and its slots."""
    return f"case/{case_id}"


class Remembered(TypedDict):
    """A record, as far as the workflow passes it on."""

    id: str
    kind: str
    text: str


class CaseMessage(TypedDict):
    """What the workflow starts from. The same ``event_id`` and ``occurred_at`` are the same message, which is kept once."""

    event_id: str
    occurred_at: str
    case_id: str
    user_id: str
    source: str
    text: str


class CaseState(CaseMessage, total=False):
    """A message and what the steps made of it."""

    learned: list[Remembered]
    recalled: list[Remembered]
    slots: dict[str, str]
    slots_version: int


def new_message(*, case_id: str, user_id: str, source: str, text: str) -> CaseMessage:
    """A message that arrives now. ``user_id`` is the client whom it is about, ``source`` who says it."""
    return CaseMessage(
        event_id=str(uuid4()),
        occurred_at=datetime.now(UTC).isoformat(),
        case_id=case_id,
        user_id=user_id,
        source=source,
        text=text,
    )
