//! A stand-in for Pinecone: serverless vector indexes with the limits, the errors and the traps of API 2025-10 to 2026-07.
//! Not here: document indexes, sparse vectors, imports, backups; those are refused.

mod control;
mod data;
mod failure;
mod filter;
mod habits;
mod metadata;
mod namespaces;
mod reading;
mod scope;
mod store;
mod writing;

use std::{io, ops::Deref, sync::Arc};

pub use habits::{Habits, LsnHeaders, Nulls, UnusedValues};

use crate::{Knobs, Running, Transcript, Vendor, server};

/// How it is offered on the command line.
pub const VENDOR: Vendor = Vendor {
    name: "pinecone",
    about: "Pinecone: indexes and vectors, API 2025-10 to 2026-07, in memory",
    default_port: 5081,
    environment: |url| {
        vec![
            ("PINECONE_API_KEY", "stand-in".to_owned()),
            ("MNEMIC_PINECONE_URL", url.to_owned()),
            // For Pinecone's own clients.
            ("PINECONE_CONTROLLER_HOST", url.to_owned()),
        ]
    },
    serve,
};

/// A stand-in that runs. Every index has a port of its own, which is closed with the index.
#[derive(Debug)]
pub struct StandIn {
    running: Running,
    habits: Habits,
}

impl StandIn {
    /// Starts one on a free port that records every request, in the habits of a well-behaved service without lag.
    pub fn start(knobs: Knobs) -> io::Result<Self> {
        Self::open(0, knobs, Transcript::keeping(usize::MAX))
    }

    fn open(port: u16, knobs: Knobs, transcript: Transcript) -> io::Result<Self> {
        let habits = Habits::default();
        let world = control::World::new(habits.clone(), knobs.clone(), transcript.clone());
        let running = server::start(server::listener(port)?, control::router(Arc::new(world)), knobs, transcript)?;
        Ok(Self { running, habits })
    }

    /// What this service does where its description leaves a choice; changeable while it runs.
    pub fn habits(&self) -> &Habits {
        &self.habits
    }
}

impl Deref for StandIn {
    type Target = Running;
    fn deref(&self) -> &Running {
        &self.running
    }
}

/// Serves until the answer is dropped; nothing is recorded.
fn serve(port: u16, knobs: Knobs) -> io::Result<Running> {
    Ok(StandIn::open(port, knobs, Transcript::keeping(0))?.running)
}
