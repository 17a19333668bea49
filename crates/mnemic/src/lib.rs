//! A long-term memory engine for AI agents: MemoryManager, configuration, factories.
