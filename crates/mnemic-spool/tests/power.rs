//! The power goes before any operation of a disk that then keeps only what was synced, and of the rest what chance decides. Nothing
//! acknowledged is lost, nothing settled comes again, nothing is invented. Also failing syncs and a full disk, on the same disk.
//! Not here: kills of a process, which leave what was written (`crash`).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::excessive_nesting,
    reason = "tests fail by panicking"
)]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use common::{
    simulated::{Honesty, Simulated},
    *,
};
use mnemic_core::{ErrorKind, Retry};
use mnemic_spool::{Spool, SpoolConfig, SpoolId};

const DIRECTORY: &str = "/data/spool";

fn config() -> SpoolConfig {
    // Small segments, so that they are begun and removed all the time.
    SpoolConfig { segment_bytes: 200, ..SpoolConfig::new(DIRECTORY) }
}

async fn open_on(disk: &Simulated) -> mnemic_core::Result<Spool> {
    Spool::open_on(Arc::new(disk.clone()), config()).await
}

/// What a user of the spool knows, whatever becomes of the machine.
#[derive(Default)]
struct Known {
    next: u64,
    /// Payloads whose append was tried, and those that were acknowledged under an id.
    tried: BTreeSet<String>,
    acknowledged: BTreeMap<String, SpoolId>,
    /// Payloads whose settlement or quarantine was tried, and those where it was acknowledged.
    leaving: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// Payloads that may be in quarantine. They wait, or are there.
    poison: BTreeSet<String>,
}

impl Known {
    /// Works until it is done or the disk fails.
    async fn work(&mut self, spool: &Spool, rng: &mut Rng, steps: u64) -> mnemic_core::Result<()> {
        for _ in 0..steps {
            match rng.below(10) {
                0..5 => {
                    let payload = format!("payload {} {}", self.next, "x".repeat(rng.below(150) as usize));
                    self.next += 1;
                    self.tried.insert(payload.clone());
                    let id = spool.append(at(self.next as i64), "lane", payload.as_bytes()).await?;
                    self.acknowledged.insert(payload, id);
                }
                5..9 => {
                    let entries = spool.peek(1 + rng.below(3) as usize).await?;
                    self.leaving.extend(entries.iter().map(text));
                    spool.settle_all(&entries.iter().map(|entry| entry.id).collect::<Vec<_>>()).await?;
                    self.gone.extend(entries.iter().map(text));
                }
                _ => {
                    for entry in spool.peek(1).await? {
                        self.poison.insert(text(&entry));
                        spool.quarantine(entry.id, "poison").await?;
                        self.gone.insert(text(&entry));
                    }
                }
            }
        }
        Ok(())
    }

    /// What is wrong with what is there.
    async fn faults(&self, spool: &Spool) -> Vec<String> {
        let present = spool.peek(100_000).await.unwrap();
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in &present {
            let payload = text(entry);
            if !self.tried.contains(&payload) {
                faults.push(format!("invented: {payload}"));
            }
            if self.gone.contains(&payload) {
                faults.push(format!("came again: {payload}"));
            }
            if self.acknowledged.get(&payload).is_some_and(|id| *id != entry.id) {
                faults.push(format!("under another id: {payload}"));
            }
            if !seen.insert(payload) {
                faults.push("an entry is there twice".to_owned());
            }
        }
        // What is in quarantine is not lost; that a kill in between leaves it in both places is what repetition is for.
        for kept in spool.quarantined(None, 100_000).await.unwrap() {
            let Some(entry) = kept.entry else {
                faults.push(format!("lost: {} in quarantine", kept.id));
                continue;
            };
            let payload = text(&entry);
            if !self.poison.contains(&payload) {
                faults.push(format!("in quarantine unasked: {payload}"));
            }
            seen.insert(payload);
        }
        let lost =
            self.acknowledged.keys().filter(|payload| !self.leaving.contains(*payload) && !seen.contains(*payload));
        faults.extend(lost.map(|payload| format!("lost: {payload}")));
        faults
    }
}

/// Works, loses power before operation `cut`, comes back, and again while coming back; answers what is wrong at the end, and whether the
/// power went at all.
async fn one_life(honest: Honesty, cut: u64, seed: u64) -> (Vec<String>, bool) {
    let (disk, mut rng, mut known) = (Simulated::new(honest), Rng(seed), Known::default());
    disk.cut_after(cut);
    let mut faults = Vec::new();
    let mut struck = false;
    // The second and third life lose power early, while they recover or shortly after.
    for life in 0..4 {
        if let Ok(spool) = open_on(&disk).await {
            if life == 3 {
                faults.extend(known.faults(&spool).await);
            }
            struck |= known.work(&spool, &mut rng, if life == 3 { 10 } else { 25 }).await.is_err();
            if life == 3 {
                faults.extend(known.faults(&spool).await);
            }
            spool.close().await.unwrap();
        }
        disk.power_on(&mut rng);
        if life < 2 {
            disk.cut_after(rng.below(25));
        }
    }
    (faults, struck)
}

/// Every moment of a piece of work, with several outcomes of chance each.
async fn campaign(honest: Honesty, seeds: u64) -> Vec<String> {
    let mut faults = Vec::new();
    for seed in 0..seeds {
        let mut cut = 0;
        loop {
            let (found, struck) = one_life(honest, cut, seed).await;
            faults.extend(found.into_iter().map(|fault| format!("seed {seed}, cut {cut}: {fault}")));
            cut += 1;
            if !struck && cut > 60 || cut > 400 {
                break;
            }
        }
    }
    faults
}

#[tokio::test]
async fn a_loss_of_power_before_any_operation_loses_nothing_acknowledged_and_brings_nothing_settled_again() {
    let faults = campaign(Honesty::All, 6).await;
    assert!(faults.is_empty(), "{} faults: {:#?}", faults.len(), &faults[..faults.len().min(20)]);
}

#[tokio::test]
async fn the_campaign_turns_red_on_a_disk_whose_syncs_do_nothing() {
    for honest in [Honesty::NotFiles, Honesty::NotDirectories] {
        let faults = campaign(honest, 1).await;
        assert!(faults.iter().any(|fault| fault.contains("lost: ")), "{honest:?}: {faults:?}");
    }
}

#[tokio::test]
async fn after_any_failed_sync_nothing_is_acknowledged_until_it_is_opened_anew() {
    let mut failed = 0;
    for n in 1..60 {
        let (disk, mut rng, mut known) = (Simulated::new(Honesty::All), Rng(n), Known::default());
        let spool = open_on(&disk).await.unwrap();
        known.work(&spool, &mut rng, 5).await.unwrap();
        disk.fail_sync(n);
        let Err(error) = known.work(&spool, &mut rng, 20).await else { continue };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        if error.to_string().contains("opened anew") {
            failed += 1;
            assert_eq!(error.retry(), Retry::Never);
            let tried = format!("payload {}", known.next);
            let error = spool.append(at(0), "lane", tried.as_bytes()).await.unwrap_err();
            assert!(error.to_string().contains("opened anew"), "{error}");
            assert_eq!(spool.report().await.unwrap().faults.len(), 1);
            assert!(spool.peek(10).await.is_ok(), "reading goes on");
        }
        spool.close().await.unwrap();
        disk.power_on(&mut rng);
        let spool = open_on(&disk).await.unwrap();
        assert_eq!(known.faults(&spool).await, Vec::<String>::new(), "sync {n}");
        known.work(&spool, &mut rng, 20).await.unwrap();
        spool.close().await.unwrap();
    }
    assert!(failed >= 15, "{failed}");
}

#[tokio::test]
async fn a_full_disk_refuses_clearly_loses_nothing_and_needs_no_reopening() {
    for seed in 0..40 {
        let (disk, mut rng, mut known) = (Simulated::new(Honesty::All), Rng(seed), Known::default());
        let spool = open_on(&disk).await.unwrap();
        known.work(&spool, &mut rng, seed).await.unwrap();
        disk.set_full(true);
        for _ in 0..5 {
            let error = spool.append(at(0), "lane", &[7; 100]).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
            assert!(error.to_string().contains("the disk is full"), "{error}");
        }
        assert_eq!(known.faults(&spool).await, Vec::<String>::new(), "seed {seed}");
        let entries = spool.peek(2).await.unwrap();
        known.leaving.extend(entries.iter().map(text));
        spool.settle_all(&entries.iter().map(|entry| entry.id).collect::<Vec<_>>()).await.unwrap();
        known.gone.extend(entries.iter().map(text));
        disk.set_full(false);
        known.work(&spool, &mut rng, 20).await.unwrap();
        assert_eq!(known.faults(&spool).await, Vec::<String>::new(), "seed {seed}");
        spool.close().await.unwrap();
        disk.power_on(&mut rng);
        let spool = open_on(&disk).await.unwrap();
        assert_eq!(known.faults(&spool).await, Vec::<String>::new(), "seed {seed}");
        assert_eq!(spool.report().await.unwrap().damaged, 0);
        spool.close().await.unwrap();
    }
}
