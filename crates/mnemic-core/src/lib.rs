//! The nouns, the five ports and the pure policies of Mnemic: no I/O, no runtime.
