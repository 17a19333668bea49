//! A real disk that is full: a file system in memory of one megabyte. A clear error, nothing acknowledged is lost, settling goes on, and
//! appends go on without reopening once there is room. Needs the right to mount. Not here: every moment of it (`power`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use common::{at, open, waiting};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_core::{ErrorKind, Retry};

/// A small file system, unmounted when it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "mnemic-test"])
            .arg(place.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self(place))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn main() -> ExitCode {
    let required = std::env::var("MNEMIC_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == "tmpfs"));
    let name = "a_full_disk_refuses_clearly_loses_nothing_and_goes_on_without_reopening";
    let trial = Trial::ignorable_test(name, move || {
        let Some(small) = Small::mount() else {
            let why = "no small file system can be mounted here";
            return if required { Err(Failed::from(why)) } else { Ok(Completion::ignored_with(why)) };
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(fills_up_and_recovers(small.0.path()));
        Ok(Completion::Completed)
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

async fn fills_up_and_recovers(place: &Path) {
    let spool = open(&place.join("spool")).await;
    let (mut ids, mut refused) = (Vec::new(), 0);
    while refused < 5 {
        match spool.append(at(0), "lane", &[b'x'; 10_000]).await {
            Ok(id) => ids.push(id),
            Err(error) => {
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error}");
                assert!(error.to_string().contains("the disk is full"), "{error}");
                refused += 1;
            }
        }
        assert!(ids.len() < 1_000, "the disk was never full");
    }
    assert!(ids.len() > 50, "{}", ids.len());
    let there = || async { spool.peek(1_000).await.unwrap().iter().map(|entry| entry.id).collect::<Vec<_>>() };
    assert_eq!(there().await, ids);
    // Every mark has its place in advance, so a full disk can be drained.
    for id in ids.drain(..10) {
        spool.settle(id).await.unwrap();
    }
    assert_eq!(there().await, ids);
    let ballast = place.join("ballast");
    spool.settle_all(&ids).await.unwrap();
    std::fs::write(&ballast, vec![0; 1_000_000]).unwrap_err();
    let error = spool.append(at(0), "lane", &[b'x'; 10_000]).await.unwrap_err();
    assert!(error.to_string().contains("the disk is full"), "{error}");
    std::fs::remove_file(&ballast).unwrap();
    let id = spool.append(at(0), "lane", b"there is room").await.unwrap();
    assert_eq!(there().await, [id]);
    spool.close().await.unwrap();
    let spool = open(&place.join("spool")).await;
    assert_eq!(waiting(&spool).await, ["there is room"]);
    assert_eq!(spool.report().await.unwrap().damaged, 0);
    spool.close().await.unwrap();
}
