//! Stand-ins for hosted vendors on loopback: what their published descriptions say, with knobs for bad days.
//! Not here: the clients (`mnemic-indexes`, `mnemic-embedders`).
