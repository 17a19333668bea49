//! What a retrieval takes on top of its slowest leg, with vendors that take as long as real ones do. Not here: servers without delay
//! (`latency`).
//!
//! The slowest leg is the one by vector: embedding the query, then asking Pinecone. It is called by itself on adapters of its own,
//! without layers, for as many candidates and with the same filter as a retrieval asks for.

use std::time::Duration;

use mnemic::{
    Comparison, Error, ErrorKind, Field, Filter, MemoryManager, Operand, Query, Result, Timestamp, WriteOptions,
    ports::{Embedder, Index, Purpose},
};
use mnemic_embedders::{VoyageConfig, VoyageEmbedder};
use mnemic_http::{Address, SecretString};
use mnemic_indexes::PineconeIndex;
use mnemic_postgres::testing::TestServer;

use super::{client, environment, failed, memory, stand_in::StandIn};
use crate::{
    Plan,
    corpus::Corpus,
    measure::{Stopwatch, Summary},
    report::{Report, Target},
};

/// Records of the memory.
const SIZE: usize = 1_000;
/// Records of one write.
const WRITE: usize = 250;
/// How long the vendors take.
const EMBEDDING: Duration = Duration::from_millis(60);
const SEARCH: Duration = Duration::from_millis(30);
/// Candidates that a retrieval asks each leg for.
const CANDIDATES: usize = 200;
/// Questions before measuring starts.
const WARM_UP: usize = 3;

/// Measures. Every question is new: an embedding that is remembered would take no time.
pub(super) async fn measure(plan: &Plan, server: &TestServer, report: &mut Report) -> Result<()> {
    let (database, directory) = (server.database().await, tempfile::tempdir().map_err(failed)?);
    let (mut voyage, mut pinecone) = (StandIn::start("voyage")?, StandIn::start("pinecone")?);
    let mut variables = environment(&database, directory.path());
    variables.extend(voyage.environment());
    variables.extend(pinecone.environment());
    let memory = memory(&variables, directory.path())?;
    let mut corpus = Corpus::new(17)?;
    for start in (0..SIZE).step_by(WRITE) {
        memory.write(corpus.records(start, WRITE)?, &WriteOptions::default()).await?;
    }
    let leg = Leg::new(&memory, &voyage, &pinecone).await?;
    voyage.delay(EMBEDDING)?;
    pinecone.delay(SEARCH)?;
    let (mut whole, mut alone) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + plan.queries / 2 {
        let (question, other) = (corpus.query(2 * number), corpus.query(2 * number + 1));
        let watch = Stopwatch::start();
        leg.search(&memory, &question).await?;
        let searched = watch.stop();
        let watch = Stopwatch::start();
        let found = memory.retrieve(&Query::new(other)).await?;
        let retrieved = watch.stop();
        if !found.degraded.is_empty() || found.hits.is_empty() {
            return Err(failed(format!("a retrieval was degraded: {}", found.degraded.join("; "))));
        }
        if number >= WARM_UP {
            alone.push(searched);
            whole.push(retrieved);
        }
    }
    let (whole, alone) = (Summary::of(&whole), Summary::of(&alone));
    report.time("leg by vector alone, Voyage 60 + Pinecone 30", alone, &[]);
    report.time("retrieve, PostgreSQL + Voyage + Pinecone", whole, &[("leg alone", alone)]);
    let figures = [whole.wall, alone.wall].map(|wall| wall.as_secs_f64() * 1e3);
    let name = "retrieve over its slowest leg";
    report.claim(name, Target::AtMost(1.1), figures, "ms", "embedding 60 ms and Pinecone 30 ms, called alone");
    Ok(())
}

/// The leg by vector, by itself.
struct Leg {
    embedder: VoyageEmbedder,
    index: PineconeIndex,
}

impl Leg {
    async fn new(memory: &MemoryManager, voyage: &StandIn, pinecone: &StandIn) -> Result<Self> {
        let mut config = VoyageConfig::new(SecretString::from("stand-in".to_owned()));
        config.address = Some(Address::new("voyage.address", &format!("{}/v1", voyage.url()))?);
        let leg = Self { embedder: VoyageEmbedder::new(config)?, index: client::index(pinecone)? };
        leg.index.prepare(memory.namespace(), leg.embedder.model()).await?;
        Ok(leg)
    }

    async fn search(&self, memory: &MemoryManager, question: &str) -> Result<()> {
        let embedded = self.embedder.embed(Purpose::Query, &[question]).await?;
        let vector = embedded.into_iter().next().flatten();
        let vector = vector.ok_or_else(|| Error::new(ErrorKind::Unsupported, "a question without an embedding"))?;
        let hits = self.index.search_dense(memory.namespace(), &vector, &live()?, CANDIDATES).await?;
        if hits.is_empty() { Err(failed("the leg by vector found nothing")) } else { Ok(()) }
    }
}

/// The filter of a retrieval that is asked for what holds now.
fn live() -> Result<Filter> {
    let now = Operand::Timestamp(Timestamp::from_micros(4_000_000_000_000_000)?);
    let passed = |field| Filter::Compare(field, Comparison::Lte, now.clone());
    Ok(Filter::And(vec![
        Filter::Not(Box::new(passed(Field::ExpiresAt))),
        Filter::Not(Box::new(passed(Field::ValidTo))),
        passed(Field::ValidFrom),
        Filter::Not(Box::new(Filter::Exists(Field::SupersededBy))),
    ]))
}
