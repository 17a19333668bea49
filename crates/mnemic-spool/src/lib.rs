//! A bounded, durable queue in files. Not here: what is queued (the facade) and when it is replayed.
