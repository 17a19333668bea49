//! The sizes that bound every input, checked before anything is allocated or stored. Not here: rate limits and pool sizes (layers).

/// Bytes of one record's or slot's text.
pub const TEXT_BYTES: usize = 256 * 1024;
/// Bytes of one record's metadata or event's payload as canonical JSON.
pub const METADATA_BYTES: usize = 64 * 1024;
/// Keys of one metadata object, nested ones counted.
pub const METADATA_KEYS: usize = 128;
/// Nesting of one metadata object or payload.
pub const METADATA_DEPTH: usize = 8;
/// Bytes of one id (record, event, thread, user).
pub const ID_BYTES: usize = 255;
/// Tags of one record or event.
pub const TAGS: usize = 64;
/// Bytes of one tag, path segment, source, action or slot name.
pub const LABEL_BYTES: usize = 255;
/// Segments of one record's path.
pub const PATH_SEGMENTS: usize = 16;
/// Records, events or ids in one call.
pub const BATCH: usize = 1000;
/// Dimensions of one embedding.
pub const DIMENSIONS: u32 = 8192;
/// Hits of one retrieval.
pub const TOP_K: usize = 1000;
/// Nodes of one filter.
pub const FILTER_NODES: usize = 256;
/// Nesting of one filter.
pub const FILTER_DEPTH: usize = 16;
/// Values of one `in` or `nin` list.
pub const FILTER_VALUES: usize = 1000;
/// Bytes of one idempotency key.
pub const IDEMPOTENCY_KEY_BYTES: usize = 255;
/// Bytes of one retrieval query's text.
pub const QUERY_BYTES: usize = 64 * 1024;
/// Slots of one thread.
pub const SLOTS: usize = 64;
/// Links of one record to the events or records that it came from.
pub const PROVENANCE_LINKS: usize = 1000;
