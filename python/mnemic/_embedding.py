"""A user's own embedder, as the engine calls it. Not here: when it is asked, and what becomes of texts that have to wait for it.

An embedder is any object with ``async def aembed(texts)`` that answers one list of numbers for each text. It may have ``dimension``
(else one text is embedded to find out) and ``name`` or ``model`` (else its class's name). A parameter ``purpose`` of ``aembed`` is
given ``"document"`` or ``"query"``. What it gives is checked here: a wrong answer is a fault of the embedder, so the records wait for
a right one, whereas the engine would take it for a fault of the text and give that up.
"""

from __future__ import annotations

import math
import os
import threading
from array import array
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mnemic.exceptions import InvalidInputError

# `asyncio` and `inspect` are imported where they are needed: a program without an embedder of its own never is, and both are slow.
if TYPE_CHECKING:
    import asyncio


@runtime_checkable
class Embedder(Protocol):
    """What makes embeddings."""

    def aembed(self, texts: list[str]) -> Awaitable[Sequence[Sequence[float]]]:
        """One embedding for each text, in order; an empty one where the model has none for a text."""


class _Background:
    """An event loop on a thread of its own, for calls that come from no loop. A forked child makes its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                import asyncio

                loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="mnemic-embedder", daemon=True).start()
                self._loop, self._process = loop, os.getpid()
            return self._loop


_BACKGROUND = _Background()


def _packed(vector: Iterable[float], dimension: int | None) -> bytes | None:
    if isinstance(vector, str | bytes):
        raise ValueError("expected a list of numbers for each text, found text")
    components = array("f", vector)
    # An empty one says that the model has none for the text, and one of nothing but zeros points nowhere.
    if not any(components):
        return None
    if dimension is not None and len(components) != dimension:
        raise ValueError(f"expected {dimension} numbers for each text, found {len(components)}")
    if not math.isfinite(sum(components)):
        raise ValueError("expected finite numbers of single precision, found others")
    return components.tobytes()


class Bridge:
    """A user's embedder in the form that the engine calls."""

    dimension: int | None = None

    def __init__(self, embedder: Embedder) -> None:
        self._aembed: Callable[..., Awaitable[Sequence[Sequence[float]]]] = embedder.aembed
        import inspect

        parameters = inspect.signature(embedder.aembed).parameters
        self._takes_purpose = "purpose" in parameters

    def background(self) -> asyncio.AbstractEventLoop:
        """The loop for calls that come from none."""
        return _BACKGROUND.loop()

    async def embed(self, purpose: str, texts: list[str]) -> list[bytes | None]:
        """Embeds texts; each entry is the components as native single-precision numbers."""
        made = await (self._aembed(texts, purpose=purpose) if self._takes_purpose else self._aembed(texts))
        vectors = list(made)
        if len(vectors) != len(texts):
            raise ValueError(f"expected {len(texts)} embeddings, one for each text, found {len(vectors)}")
        return [_packed(vector, self.dimension) for vector in vectors]


def bridge(embedder: Any) -> tuple[Bridge, dict[str, Any]] | None:
    """The bridge to an embedder and what it says of itself; ``None`` if it makes no embeddings at all."""
    if not callable(getattr(embedder, "aembed", None)):
        message = "embedder: expected an object with async def aembed(texts), found " + type(embedder).__name__
        raise InvalidInputError(message, field="embedder")
    made = Bridge(embedder)
    dimension = getattr(embedder, "dimension", None)
    if dimension is None:
        dimension = _probe(made)
    if dimension == 0:
        return None
    made.dimension = dimension
    name = getattr(embedder, "name", None) or getattr(embedder, "model", None)
    if not isinstance(name, str):
        name = type(embedder).__qualname__
    return made, {"name": name, "dimension": dimension}


def _probe(made: Bridge) -> int:
    """How many components an embedding has, by making one."""
    import asyncio

    running = asyncio.run_coroutine_threadsafe(made.embed("document", ["dimension"]), made.background())
    vectors = running.result()
    first = vectors[0] if vectors else None
    return 0 if first is None else len(first) // array("f").itemsize
