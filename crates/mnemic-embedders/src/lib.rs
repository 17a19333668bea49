//! Embedders of Mnemic: text to vectors of one model.
