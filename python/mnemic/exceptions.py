"""What a call may raise. Not here: where each comes from (the engine classifies errors once)."""

from __future__ import annotations


class MnemicError(Exception):
    """The base of every error of a memory.

    ``field`` names the field of the input that is wrong, where there is one. ``retryable`` tells whether the same call may succeed
    later, and ``retry_after`` after how many seconds, where a server said so.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.retryable = retryable
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are not in `args`, which is all that pickling knows of.
        return (_remake, (type(self), str(self), self.field, self.retryable, self.retry_after))


def _remake(
    kind: type[MnemicError], message: str, field: str | None, retryable: bool, retry_after: float | None
) -> MnemicError:
    return kind(message, field=field, retryable=retryable, retry_after=retry_after)


class NotFoundError(MnemicError, LookupError):
    """A named thing is absent where absence is an error."""


class ConflictError(MnemicError):
    """Somebody else changed it first: a version or a key does not match."""


class InvalidInputError(MnemicError, ValueError):
    """A value is wrong; the message names the field, what was expected and what came."""


class ConfigError(MnemicError):
    """A setting is wrong or missing; the message has one line for each."""


class UnsupportedError(MnemicError):
    """This memory cannot do that."""


class ModelMismatchError(MnemicError):
    """The embedding model is not the one that the memory was built with."""


class DeniedError(MnemicError):
    """A server refused the credentials."""


class RateLimitedError(MnemicError):
    """A server asked to slow down."""


class UnavailableError(MnemicError):
    """A server or a file cannot be reached now."""


class CorruptedError(MnemicError):
    """Stored data is not what it should be."""


class InternalError(MnemicError):
    """A fault of Mnemic itself; please report it."""


__all__ = [
    "ConfigError",
    "ConflictError",
    "CorruptedError",
    "DeniedError",
    "InternalError",
    "InvalidInputError",
    "MnemicError",
    "ModelMismatchError",
    "NotFoundError",
    "RateLimitedError",
    "UnavailableError",
    "UnsupportedError",
]
