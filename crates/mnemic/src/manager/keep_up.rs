//! Copying at the pace that an operator likes, and keeping a copy up to date from outside. Not here: what travels (`migrate`).

use std::time::Duration;

use async_trait::async_trait;
use mnemic_core::{ChangeSeq, Error, ErrorKind, OutboxItem, PastCommit, Result, Role};
use mnemic_migration::{Followed, Lens, Side};
use tokio::{sync::Mutex, time::Instant};

use super::{MemoryManager, migrate::Carried};

/// How to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrateOptions {
    /// Changes that travel at once, at most; `None` for what suits.
    pub page: Option<usize>,
    /// Changes a second, at most, so that whoever else uses both sides keeps their share; `None` for as fast as it goes.
    pub rate: Option<u32>,
}

impl MigrateOptions {
    /// The size of a page: within the usual one, and no more than goes in a second.
    pub(super) fn page(&self, usual: usize) -> usize {
        let asked = self.page.unwrap_or(usual).min(usual);
        let within = self.rate.map_or(asked, |rate| asked.min(usize::try_from(rate).unwrap_or(asked)));
        within.max(1)
    }

    pub(super) fn check(&self) -> Result<()> {
        for (field, zero) in [("page", self.page == Some(0)), ("rate", self.rate == Some(0))] {
            if zero {
                return Err(Error::invalid(field, "1 or more", 0));
            }
        }
        Ok(())
    }
}

/// Lets changes through a lens no faster than a rate.
pub(super) struct Paced<'a> {
    lens: &'a dyn Lens,
    rate: u32,
    begun: Instant,
    carried: Mutex<u64>,
}

impl<'a> Paced<'a> {
    pub(super) fn new(lens: &'a dyn Lens, rate: u32) -> Self {
        Self { lens, rate, begun: Instant::now(), carried: Mutex::default() }
    }
}

#[async_trait]
impl Lens for Paced<'_> {
    async fn carry(&self, source: Side<'_>, commits: Vec<PastCommit>) -> Result<Vec<PastCommit>> {
        let mut carried = self.carried.lock().await;
        *carried += commits.iter().map(|commit| commit.changes.len() as u64).sum::<u64>();
        let due = self.begun + Duration::from_secs_f64(*carried as f64 / f64::from(self.rate));
        let commits = self.lens.carry(source, commits).await?;
        tokio::time::sleep_until(due).await;
        Ok(commits)
    }

    async fn finished(&self, target: Side<'_>, work: Vec<OutboxItem>) -> Result<Vec<OutboxItem>> {
        self.lens.finished(target, work).await
    }
}

impl MemoryManager {
    /// The same as [`Self::migrate_to`] in a given way.
    ///
    /// # Errors
    /// `InvalidInput` for a page or a rate of 0, and those of [`Self::migrate_to`].
    pub async fn migrate_with(
        &self,
        target: &Self,
        how: &MigrateOptions,
        reached: impl FnMut(ChangeSeq) + Send,
    ) -> Result<Followed> {
        how.check()?;
        self.check_apart(target)?;
        self.check_movable(target).await?;
        self.claim(target).await?;
        let followed = self.carry_at(target, Carried::AsTheyAre, how, reached).await?;
        target.engine.sync_all(&target.namespace).await?;
        Ok(followed)
    }

    /// Brings over what came since [`Self::migrate_to`], and answers `None` once the target is no copy of this memory any more: it was
    /// switched to, or taken away. Called again and again, it keeps a copy up to date from outside of the programs that write.
    ///
    /// # Errors
    /// `InvalidInput` for a page or a rate of 0, and what either side gives.
    pub async fn keep_up(
        &self,
        target: &Self,
        how: &MigrateOptions,
        reached: impl FnMut(ChangeSeq) + Send,
    ) -> Result<Option<Followed>> {
        how.check()?;
        if !self.is_copied_to(target).await? {
            return Ok(None);
        }
        let carried = self.carried_to(target).await?;
        match self.carry_at(target, carried, how, reached).await {
            Ok(followed) => {
                target.engine.sync_all(&target.namespace).await?;
                Ok(Some(followed))
            }
            // Somebody switched in between.
            Err(error) if error.kind() == ErrorKind::Conflict && !self.is_copied_to(target).await? => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn is_copied_to(&self, target: &Self) -> Result<bool> {
        let role = target.engine.ledger.assignment(&target.namespace).await?.role;
        Ok(matches!(role, Role::Copy { of } if of == self.address()?))
    }
}
