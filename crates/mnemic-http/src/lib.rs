//! HTTP for the clients of hosted services: one transport, one reading of statuses.
//! Not here: what is asked of whom (the adapters); retry, deadlines and limits (layers).

mod address;
mod answer;
mod client;
mod verdict;

pub use address::Address;
pub use answer::Answer;
pub use client::{Call, Client, ClientConfig, Method};
pub use secrecy::SecretString;
pub use verdict::{from_status, unreadable};
