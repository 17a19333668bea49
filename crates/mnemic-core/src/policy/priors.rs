//! priors
