//! What every PostgreSQL adapter stands on. Not here: what is stored (the adapters).
