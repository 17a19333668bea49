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

from mnemic._json import integer, kind, refuse
from mnemic.exceptions import MnemicError, UnsupportedError
from mnemic.models import DIMENSIONS

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
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                import asyncio

                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(loop,), name="mnemic-embedder", daemon=True)
                thread.start()
                self._loop, self._thread, self._process = loop, thread.ident or 0, os.getpid()
            return self._loop

    def is_here(self) -> bool:
        """Whether the caller is on the loop's thread. Whoever waits there for an embedding waits for himself."""
        return self._thread == threading.get_ident() and self._process == os.getpid()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Runs the loop as long as the process lives: every memory shares it, so no embedder may end it."""
    while not loop.is_closed():
        try:
            loop.run_forever()
        except (SystemExit, KeyboardInterrupt):
            # Its task has failed with it already, as with any other exception; asyncio only raises it once more.
            continue


_BACKGROUND = _Background()


def refuse_to_wait(verb: str) -> None:
    """Refuses a call that waits on the thread that would have to answer it."""
    if _BACKGROUND.is_here():
        raise UnsupportedError(
            f"{verb}: expected its coroutine to be awaited within an embedder, found a call that waits, and holds up the loop "
            "that would have to answer",
            field="embedder",
        )


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
        self._kind = kind(embedder)
        self._aembed: Callable[..., Awaitable[Sequence[Sequence[float]]]] = embedder.aembed
        import inspect

        parameters = inspect.signature(embedder.aembed).parameters
        self._takes_purpose = "purpose" in parameters

    def background(self) -> asyncio.AbstractEventLoop:
        """The loop for calls that come from none."""
        return _BACKGROUND.loop()

    async def embed(self, purpose: str, texts: list[str]) -> list[bytes | None]:
        """Embeds texts; each entry is the components as native single-precision numbers."""
        try:
            made = await (self._aembed(texts, purpose=purpose) if self._takes_purpose else self._aembed(texts))
            vectors = list(made)
            if len(vectors) != len(texts):
                raise ValueError(f"expected {len(texts)} embeddings, one for each text, found {len(vectors)}")
            return [_packed(vector, self.dimension) for vector in vectors]
        except BaseException as error:
            _log(self._kind, error)
            raise


def _log(embedder: str, error: BaseException) -> None:
    """Tells that an embedder failed, and where. What the exception says is left to the call: it may hold the texts."""
    import asyncio
    import logging

    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return
    unsaid = MnemicError(f"{kind(error)} (its message is told to the call)").with_traceback(error.__traceback__)
    trace = (type(unsaid), unsaid, error.__traceback__)
    logging.getLogger("mnemic").warning("the embedder %s raised %s", embedder, kind(error), exc_info=trace)


def bridge(embedder: Any) -> tuple[Bridge, dict[str, Any]] | None:
    """The bridge to an embedder and what it says of itself; ``None`` if it makes no embeddings at all."""
    _check(embedder)
    made = Bridge(embedder)
    dimension = getattr(embedder, "dimension", None)
    if dimension is None:
        dimension = _probe(made)
    if isinstance(dimension, int) and dimension == 0:
        return None
    dimension = integer("embedder.dimension", dimension, 1, DIMENSIONS)
    made.dimension = dimension
    name = getattr(embedder, "name", None) or getattr(embedder, "model", None)
    if not isinstance(name, str):
        name = type(embedder).__qualname__
    return made, {"name": name, "dimension": dimension}


def _check(embedder: Any) -> None:
    """Refuses what would fail at every call: records would be kept and never get an embedding."""
    expected = "an object with async def aembed(texts)"
    if isinstance(embedder, type):
        raise refuse("embedder", expected, f"the class {embedder.__qualname__}, not an instance of it")
    aembed = getattr(embedder, "aembed", None)
    if not callable(aembed):
        raise refuse("embedder", expected, kind(embedder))
    if not _is_awaited(aembed):
        raise refuse("embedder", expected, f"{kind(embedder)}, whose aembed is not async")


def _is_awaited(function: Any) -> bool:
    """Whether a call gives something to await, as far as one can tell without calling."""
    import functools
    import inspect

    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if inspect.isasyncgenfunction(function):
        return False
    if inspect.iscoroutinefunction(function) or not (inspect.isfunction(function) or inspect.ismethod(function)):
        # Of an object that is called, or of compiled code, nothing can be told.
        return True
    # A plain function may hand on what another one gives, and then says so.
    told = str(inspect.signature(function).return_annotation)
    return any(name in told for name in ("Awaitable", "Coroutine", "Future", "Task"))


def _probe(made: Bridge) -> int:
    """How many components an embedding has, by making one."""
    import asyncio

    if _BACKGROUND.is_here():
        found = "one to be asked for it within an embedder, whose loop would have to answer"
        raise refuse("embedder", "an embedder with a dimension", found)
    running = asyncio.run_coroutine_threadsafe(made.embed("document", ["dimension"]), made.background())
    vectors = running.result()
    first = vectors[0] if vectors else None
    return 0 if first is None else len(first) // array("f").itemsize
