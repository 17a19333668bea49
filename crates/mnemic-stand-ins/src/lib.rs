//! Stand-ins for hosted vendors on loopback: what their published descriptions say, with knobs for bad days.
//! Not here: the clients (`mnemic-indexes`, `mnemic-embedders`).
//!
//! A stand-in runs on a thread of its own until its [`Running`] is dropped. Whatever it was asked and answered is in
//! [`Running::requests`]; [`Knobs`] make it slow, broken or strict while it runs; [`spec`] holds what it said to the vendor's own description.

#[cfg(feature = "spec")]
pub mod clients;
pub mod gemini;
pub mod knobs;
pub mod openai;
pub mod pinecone;
pub mod qdrant;
pub mod server;
#[cfg(feature = "spec")]
pub mod spec;
pub mod tei;
pub mod transcript;
pub mod vectors;
pub mod voyage;

pub use knobs::{Fault, Knobs};
pub use server::{Running, start};
pub use transcript::{Exchange, Transcript};

/// One vendor that can be stood in for from the command line.
#[derive(Clone, Copy, Debug)]
pub struct Vendor {
    /// Its name there, for example `pinecone`.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// The port that it listens on unless another is asked for.
    pub default_port: u16,
    /// The environment variables (name and value) that make Mnemic, and the vendor's own clients, use a stand-in at this address.
    pub environment: fn(url: &str) -> Vec<(&'static str, String)>,
    /// Starts it on this port of 127.0.0.1 (0 for a free one) with what a developer wants: no lag, no faults, nothing recorded.
    pub serve: fn(port: u16, knobs: Knobs) -> std::io::Result<Running>,
}

/// Every vendor that can be stood in for, by name.
pub fn vendors() -> &'static [Vendor] {
    VENDORS
}

/// One line a vendor; each is declared by its own module.
const VENDORS: &[Vendor] =
    &[gemini::VENDOR, openai::VENDOR, pinecone::VENDOR, qdrant::VENDOR, tei::VENDOR, voyage::VENDOR];
