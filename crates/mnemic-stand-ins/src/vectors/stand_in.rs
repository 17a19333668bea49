//! A running stand-in of an embedding service and what its handlers share. Not here: its routes.

use std::io;

use axum::Router;

use crate::{Exchange, Knobs, Running, Transcript, server, start};

use super::{Meaning, Wrongs};

/// Exchanges that are kept for tests to judge; those of large batches are megabytes each.
const KEPT: usize = 400;

/// A stand-in of an embedding service that runs; it stops when this is dropped.
#[derive(Debug)]
pub struct StandIn {
    running: Running,
    wrongs: Wrongs,
}

impl StandIn {
    /// Serves `router` on this port of 127.0.0.1, 0 for a free one.
    pub(crate) fn serve(
        port: u16,
        knobs: Knobs,
        kept: usize,
        router: impl FnOnce(Shared) -> Router,
    ) -> io::Result<Self> {
        let wrongs = Wrongs::default();
        let meaning = Meaning::new().map_err(io::Error::other)?;
        let router = router(Shared { meaning, wrongs: wrongs.clone() });
        let running = start(server::listener(port)?, router, knobs, Transcript::keeping(kept))?;
        Ok(Self { running, wrongs })
    }

    /// The same for tests: on a free port, with a transcript.
    pub(crate) fn for_tests(router: impl FnOnce(Shared) -> Router) -> io::Result<Self> {
        Self::serve(0, Knobs::new(), KEPT, router)
    }

    /// Where it is, for example `http://127.0.0.1:41234`, without a version.
    pub fn url(&self) -> String {
        self.running.url()
    }

    /// What makes it behave badly.
    pub fn knobs(&self) -> &Knobs {
        self.running.knobs()
    }

    /// What makes its answers wrong.
    pub fn wrongs(&self) -> &Wrongs {
        &self.wrongs
    }

    /// Every request so far with its answer, oldest first.
    pub fn requests(&self) -> Vec<Exchange> {
        self.running.requests()
    }

    /// The requests so far, which can be forgotten with [`Transcript::take`].
    pub fn transcript(&self) -> &Transcript {
        self.running.transcript()
    }

    /// The running server, without what makes its answers wrong.
    pub fn into_running(self) -> Running {
        self.running
    }
}

/// What every handler of a stand-in has.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) meaning: Meaning,
    pub(crate) wrongs: Wrongs,
}
