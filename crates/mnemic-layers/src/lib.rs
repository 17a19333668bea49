//! Layers: what every backend needs around it, written once. Not here: any backend, and what a verb does when a part is down.
