//! The way between the memory and a server: a relay on loopback that is cut, refuses, falls silent, or loses replies on command.
//! Not here: what a server itself does wrong (`script`).

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp},
    runtime::Handle,
    sync::watch,
};

/// What happens to bytes on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They arrive.
    Open,
    /// Connections are reset as soon as they are made.
    Refused,
    /// Nothing arrives in either direction, and nobody is told.
    Silent,
    /// Requests arrive, and replies are lost.
    Deaf,
}

#[derive(Clone, Copy, Debug)]
struct State {
    flow: Flow,
    /// Connections of an earlier era are reset.
    era: u64,
}

/// A relay to one server, and to whatever further addresses that server names in its answers.
#[derive(Debug)]
pub struct Line {
    port: u16,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// Further relays, by the port that they lead to.
#[derive(Clone, Debug)]
struct Branches {
    known: Arc<Mutex<HashMap<u16, u16>>>,
    state: Arc<watch::Sender<State>>,
    handle: Handle,
}

impl Line {
    /// A relay to `port` of this machine, on a port that stays the same whatever becomes of the server.
    pub fn to(port: u16, handle: &Handle) -> io::Result<Self> {
        let state = Arc::new(watch::channel(State { flow: Flow::Open, era: 0 }).0);
        let branches = Branches { known: Arc::default(), state: Arc::clone(&state), handle: handle.clone() };
        let own = branches.relay(port)?;
        Ok(Self { port: own, state })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on. Connections that lost replies are of no use afterwards and are reset.
    pub fn set(&self, flow: Flow) {
        self.state.send_modify(|state| {
            state.era += u64::from(flow == Flow::Refused || state.flow == Flow::Deaf);
            state.flow = flow;
        });
    }

    /// Resets every connection; new ones are welcome.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.era += 1);
    }
}

impl Branches {
    fn relay(&self, to: u16) -> io::Result<u16> {
        let mut known = self.known.lock().unwrap();
        if let Some(own) = known.get(&to) {
            return Ok(*own);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let own = listener.local_addr()?.port();
        known.insert(to, own);
        drop(known);
        let branches = self.clone();
        self.handle.spawn(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            loop {
                let Ok((here, _)) = listener.accept().await else { continue };
                tokio::spawn(branches.clone().connection(here, to));
            }
        });
        Ok(own)
    }

    async fn connection(self, here: TcpStream, to: u16) {
        let mut state = self.state.subscribe();
        let born = *state.borrow_and_update();
        let reset = here.set_zero_linger();
        drop(reset);
        let open = async {
            if born.flow == Flow::Refused {
                return None;
            }
            let there = TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await.ok()?;
            there.set_nodelay(true).ok()?;
            here.set_nodelay(true).ok()?;
            Some(there)
        };
        let Some(there) = open.await else { return };
        let (from_here, to_here) = here.into_split();
        let (from_there, to_there) = there.into_split();
        tokio::select! {
            () = self.pump(Way::There, from_here, to_there, born.era) => {}
            () = self.pump(Way::Back, from_there, to_here, born.era) => {}
        }
    }

    /// Carries bytes one way until either end, or the era, ends.
    async fn pump(&self, way: Way, mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, era: u64) {
        let (mut state, mut buffer) = (self.state.subscribe(), vec![0; 64 * 1024]);
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read,
                gone = state.wait_for(|state| state.era != era) => { drop(gone); return }
            };
            let Ok(read @ 1..) = read else { return };
            // While it is silent, what was read waits here, and what was not, in the kernel.
            let Ok(now) = state.wait_for(|state| state.era != era || state.flow != Flow::Silent).await.map(|now| *now)
            else {
                return;
            };
            if now.era != era {
                return;
            }
            if now.flow == Flow::Deaf && way == Way::Back {
                continue;
            }
            let mut bytes = buffer[..read].to_vec();
            if way == Way::Back {
                self.redirect(&mut bytes);
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    /// Puts relays in place of the addresses that a server's answer names. Ports of this machine's choosing have five digits each.
    fn redirect(&self, bytes: &mut [u8]) {
        const NAMED: &[u8] = b"http://127.0.0.1:";
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(NAMED.len()).position(|window| window == NAMED) {
            at += found + NAMED.len();
            let digits = bytes.get(at..at + 5).and_then(|digits| std::str::from_utf8(digits).ok());
            let Some(port) = digits.and_then(|digits| digits.parse().ok()) else { continue };
            if let Ok(own) = self.relay(port) {
                bytes[at..at + 5].copy_from_slice(format!("{own:05}").as_bytes());
            }
        }
    }
}
