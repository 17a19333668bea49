"""Long-term memory for AI agents.

``create_dev_memory_manager()`` keeps everything in this process, ``create_embedded_memory_manager(path)`` in one directory, and
``create_production_memory_manager()`` on PostgreSQL with the vector index and the embedder that the environment names. All of them
give a :class:`MemoryManager` with the same meaning.
"""

from mnemic._mnemic import __version__
from mnemic.exceptions import (
    ConfigError,
    ConflictError,
    CorruptedError,
    DeniedError,
    InternalError,
    InvalidInputError,
    MnemicError,
    ModelMismatchError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
    UnsupportedError,
)
from mnemic.manager import (
    MemoryManager,
    create_dev_memory_manager,
    create_embedded_memory_manager,
    create_memory_manager,
    create_production_memory_manager,
)
from mnemic.models import (
    AuditEvent,
    ChainedEvent,
    ConsolidateStats,
    ContextBlock,
    ForgetReceipt,
    Health,
    MemoryRecord,
    Provenance,
    Retrieval,
    RetrievalQuery,
    RetrievedRecord,
    Revision,
    Slots,
    SuppliedVectors,
    Written,
)

__all__ = [
    "AuditEvent",
    "ChainedEvent",
    "ConfigError",
    "ConflictError",
    "ConsolidateStats",
    "ContextBlock",
    "CorruptedError",
    "DeniedError",
    "ForgetReceipt",
    "Health",
    "InternalError",
    "InvalidInputError",
    "MemoryManager",
    "MemoryRecord",
    "MnemicError",
    "ModelMismatchError",
    "NotFoundError",
    "Provenance",
    "RateLimitedError",
    "Retrieval",
    "RetrievalQuery",
    "RetrievedRecord",
    "Revision",
    "Slots",
    "SuppliedVectors",
    "UnavailableError",
    "UnsupportedError",
    "Written",
    "__version__",
    "create_dev_memory_manager",
    "create_embedded_memory_manager",
    "create_memory_manager",
    "create_production_memory_manager",
]
