//! A wire between the driver and a server that loses the answer to a commit. Not here: what a ledger makes of that.
#![allow(unreachable_pub, missing_docs, reason = "a part of test binaries")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use mnemic_postgres::testing::TestDatabase;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A wire to the server that can be told to lose the answer to the next commit.
pub struct Wire {
    pub dsn: String,
    pub cut: Arc<AtomicBool>,
}

impl Wire {
    /// The connection that says `said` is the one; it has been heard when the server says `done`.
    pub async fn lay(database: &TestDatabase, said: &'static [u8], done: &'static [u8]) -> Self {
        let direct = database.dsn().parse::<tokio_postgres::Config>().unwrap();
        let upstream = direct.get_ports()[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(AtomicBool::new(false));
        let armed = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                tokio::spawn(carry(client, server, Arc::clone(&armed), (said, done)));
            }
        });
        Self { dsn: format!("postgresql://mnemic_test@127.0.0.1:{port}/{}?sslmode=disable", database.name()), cut }
    }
}

/// Carries bytes both ways. Once armed, the connection that commits is heard by the server and never answered.
async fn carry(
    client: TcpStream,
    server: TcpStream,
    armed: Arc<AtomicBool>,
    (said, done): (&'static [u8], &'static [u8]),
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let cut = Arc::new(AtomicBool::new(false));
    let cutting = Arc::clone(&cut);
    tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from_client.read(&mut bytes).await {
            if holds(&bytes[..read], said) && armed.swap(false, Ordering::SeqCst) {
                cutting.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
        if cut.load(Ordering::SeqCst) {
            // Swallowed until the server says that it has committed; then the connection is gone.
            if holds(&bytes[..read], done) {
                return;
            }
            continue;
        }
        if to_client.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
