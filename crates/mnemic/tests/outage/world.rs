//! Everything that the memory talks to, and the memory itself, put together as the production profile does it. Not here: what goes wrong
//! (`script`).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mnemic::{
    Builder, MemoryManager, Namespace,
    ports::{Embedder, Index, Ledger},
};
use mnemic_embedders::{VoyageConfig, VoyageEmbedder};
use mnemic_http::{Address, SecretString};
use mnemic_indexes::{PineconeConfig, PineconeIndex, PostgresTextConfig, PostgresTextIndex};
use mnemic_layers::{Backend, BreakerConfig, CacheConfig, Cached, Guarded, Profile, RetryConfig, Status, Times};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{Pool, PostgresConfig};
use mnemic_spool::SpoolConfig;
use mnemic_stand_ins::{Knobs, Running, pinecone, voyage};
use tokio::runtime::Handle;

use super::{line::Line, power::Life, server::Server};

/// How long one call to a backend may take with all its tries.
pub const DEADLINE: Duration = Duration::from_secs(6);
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long a breaker rests; an outage of the campaign lasts about as long.
const REST: Duration = Duration::from_secs(1);
/// How much later than written vectors show in searches.
const LAG: Duration = Duration::from_millis(300);
/// Connections to the database, fewer than there are tasks.
const CONNECTIONS: usize = 8;
/// The directory of the spool on the simulated disk.
pub const SPOOL: &str = "/var/lib/mnemic/spool";

/// The index service and the embedding service, with the ways to them.
#[derive(Debug)]
pub struct Vendors {
    pub pinecone: pinecone::StandIn,
    /// `None` while it is not running.
    voyage: Mutex<Option<Running>>,
    pub voyage_knobs: Knobs,
    voyage_port: u16,
    pub to_pinecone: Line,
    pub to_voyage: Line,
}

impl Vendors {
    pub fn start(handle: &Handle) -> Self {
        let pinecone = pinecone::StandIn::start(Knobs::new()).unwrap();
        pinecone.habits().lag(LAG);
        let voyage_knobs = Knobs::new();
        let voyage = (voyage::VENDOR.serve)(0, voyage_knobs.clone()).unwrap();
        let voyage_port = voyage.port();
        let to_pinecone = Line::to(pinecone.port(), handle).unwrap();
        let to_voyage = Line::to(voyage_port, handle).unwrap();
        Self { pinecone, voyage: Mutex::new(Some(voyage)), voyage_knobs, voyage_port, to_pinecone, to_voyage }
    }

    fn voyage(&self) -> MutexGuard<'_, Option<Running>> {
        self.voyage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The embedding service's process dies, with all its connections.
    pub fn kill_voyage(&self) {
        self.to_voyage.cut();
        drop(self.voyage().take());
    }

    /// It is started again where it was.
    pub fn revive_voyage(&self) {
        *self.voyage() = Some((voyage::VENDOR.serve)(self.voyage_port, self.voyage_knobs.clone()).unwrap());
    }
}

/// The layers' figures of one life, readable after it.
#[derive(Clone, Debug)]
pub struct Backends(Vec<Backend>);

impl Backends {
    pub fn status(&self) -> Vec<Status> {
        self.0.iter().map(Backend::status).collect()
    }
}

/// The usual layers of a port in short times.
fn short(profile: Profile) -> Profile {
    let times = Times { attempt: ATTEMPT, deadline: DEADLINE };
    let retry = RetryConfig { longest: Duration::from_secs(2), ..RetryConfig::default() };
    let breaker = BreakerConfig { rest: REST, ..BreakerConfig::default() };
    let bulk = Times { attempt: DEADLINE * 3, deadline: DEADLINE * 4 };
    Profile { bulk, ..profile.timed(times) }.retrying(Some(retry)).breaking(Some(breaker))
}

/// A memory on all of it. To be called within the runtime of its life.
pub fn open(vendors: &Vendors, to_postgres: u16, life: &Life) -> (MemoryManager, Backends) {
    let (dsn, admin) = Server::addresses(to_postgres);
    let config =
        PostgresConfig { admin_dsn: Some(admin.into()), max_connections: CONNECTIONS, ..PostgresConfig::new(dsn) };
    let pool = Pool::new(config).unwrap();
    let postgres = Backend::new("postgres", short(Profile::ledger()));
    let ledger: Arc<dyn Ledger> = Arc::new(PostgresLedger::from_pool(pool.clone()));
    let text: Arc<dyn Index> = Arc::new(PostgresTextIndex::new(pool, PostgresTextConfig::default()).unwrap());
    let text_backend = postgres.also(short(Profile::index()));

    let mut config = PineconeConfig::new(SecretString::from("stand-in")).unwrap();
    config.control_plane = address(vendors.to_pinecone.port(), "");
    let pinecone = Backend::new("pinecone", short(Profile::index()));
    let dense: Arc<dyn Index> = Arc::new(PineconeIndex::new(config).unwrap());

    let mut config = VoyageConfig::new(SecretString::from("stand-in"));
    config.address = Some(address(vendors.to_voyage.port(), "/v1"));
    config.dimension = 256;
    let voyage = Backend::new("voyage", short(Profile::embedder()));
    let embedder: Arc<dyn Embedder> = Arc::new(VoyageEmbedder::new(config).unwrap());
    let embedder: Arc<dyn Embedder> = Arc::new(Guarded::new(embedder, voyage.clone()));

    let builder = Builder::default()
        .ledger(Arc::new(Guarded::new(ledger, postgres.clone())))
        .index(Arc::new(Guarded::new(dense, pinecone.clone())))
        .index(Arc::new(Guarded::new(text, text_backend)))
        .embedder(Arc::new(Cached::new(embedder, CacheConfig::default())))
        // Small segments, so that they are begun and removed all the time.
        .spool_on(Arc::new(life.clone()), SpoolConfig { segment_bytes: 64 << 10, ..SpoolConfig::new(SPOOL) })
        .in_background();
    let memory = builder.build(namespace(0)).unwrap();
    (memory, Backends(vec![postgres, pinecone, voyage]))
}

pub fn namespace(number: usize) -> Namespace {
    Namespace::new(format!("client-{number}")).unwrap()
}

fn address(port: u16, path: &str) -> Address {
    Address::new("url", &format!("http://127.0.0.1:{port}{path}")).unwrap()
}
