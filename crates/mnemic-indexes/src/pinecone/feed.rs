//! Feeding: changes in, the position after them, what of them shows, and the end of a namespace. Not here: searching (`find`).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use mnemic_core::{
    ChangeSeq, EmbeddingModel, Error, ErrorKind, Namespace, RecordId, Result, Retry, ports::IndexChange,
};
use mnemic_http::Answer;

use super::{
    Opened, PineconeIndex, error,
    held::{self, Meta},
    ids,
    state::{Sent, Space},
    there,
    wire::{self, Ask, Batch, Delete, Fetched, Query, Vector},
};

/// The Pinecone namespace in which positions are kept. A dot is in no namespace of ours.
const STATE: &str = "mnemic.state";
const POSITION: &str = "position";
const LSN: &str = "lsn";
/// Changes without anything to send after which the position is kept nevertheless.
const UNKEPT: u64 = 1_000;

impl PineconeIndex {
    /// The position, read from the service the first time.
    pub(super) async fn load(&self, space: &Space, namespace: &Namespace) -> Result<ChangeSeq> {
        if let Some(position) = space.position() {
            return Ok(position);
        }
        let _loading = space.loading.lock().await;
        if let Some(position) = space.position() {
            return Ok(position);
        }
        let Some(model) = &space.model else { return Ok(ChangeSeq(0)) };
        let index = self.open(model).await?;
        let id = ids::encode(namespace.as_str());
        let query = [("ids", id.as_str()), ("namespace", STATE)];
        let answer = there(self.ask(&index, Ask::get("/vectors/fetch", &query)).await?)?;
        let fetched = answer.map(|answer| answer.json::<Fetched>()).transpose()?;
        let marker = fetched.and_then(|fetched| fetched.vectors?.remove(&id)?.metadata).unwrap_or_default();
        // A marker that cannot be read is none: everything is fed again, which changes nothing that is there.
        let number = |key: &str| marker.get(key).and_then(wire::count);
        space.load(ChangeSeq(number(POSITION).unwrap_or_default()), number(LSN));
        Ok(space.position().unwrap_or_default())
    }

    /// The last change up to which everything shows.
    pub(super) async fn look(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        let space = self.space(namespace);
        let position = self.load(&space, namespace).await?;
        let assumed = self.control.config.assume_visible_after;
        let Some(model) = space.model.as_ref().filter(|_| space.waits()) else { return Ok(position) };
        let index = self.open(model).await?;
        let indexed = self.probe(&index, namespace).await?.and_then(|answer| wire::indexed_lsn(&answer));
        Ok(space.observe(indexed, assumed))
    }

    /// The cheapest query that there is; `None` if the namespace is not there.
    async fn probe(&self, index: &Opened, namespace: &Namespace) -> Result<Option<Answer>> {
        let query = Query {
            namespace: namespace.as_str(),
            top_k: 1,
            filter: None,
            include_values: false,
            include_metadata: false,
        };
        there(self.ask(index, Ask::post("/query", query.body(&direction(&index.model))?)).await?)
    }

    /// Applies changes and moves the position.
    pub(super) async fn feed(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        let space = self.space(namespace);
        let _feed = space.feed.lock().await;
        let position = self.load(&space, namespace).await?;
        // A rebuild feeds what lies beyond the position and moves it at the end only.
        if through <= position && changes.iter().all(|change| change.seq <= position) {
            return Ok(());
        }
        let through = through.max(position);
        // The last word on each record is enough.
        let mut last: BTreeMap<&RecordId, &IndexChange> = BTreeMap::new();
        for change in changes.iter().filter(|change| change.seq > position) {
            check_model(change, space.model.as_ref())?;
            last.insert(&change.id, change);
        }
        let Some(model) = &space.model else {
            space.advance(through, None, false);
            return Ok(());
        };
        let (mut put, mut gone) = (Vec::new(), Vec::new());
        for (id, change) in last {
            match vector(change) {
                Some(vector) => put.push(vector),
                None => gone.push(ids::encode(id.as_str())),
            }
        }
        if put.is_empty() && gone.is_empty() && through.0 - space.persisted().0 < UNKEPT {
            space.advance(through, None, false);
            return Ok(());
        }
        let index = self.open(model).await?;
        let mut sent = None;
        for batch in wire::upserts(namespace.as_str(), &put)? {
            sent = later(sent, self.write(&index, batch).await?);
        }
        for ids in gone.chunks(wire::MOST_VECTORS) {
            sent = later(sent, self.delete(&index, namespace.as_str(), Some(ids)).await?);
        }
        // Whoever is interrupted before this line feeds the same changes again, which changes nothing that is done already.
        let lsn = sent.and_then(|sent| sent.0).max(space.lsn());
        self.keep(&index, namespace, through, lsn).await?;
        space.advance(through, sent, true);
        Ok(())
    }

    /// Writes a batch, in halves where it is too large after all. Tells the highest place in the log, as far as the service does.
    async fn write(&self, index: &Opened, batch: Batch) -> Result<Option<Sent>> {
        let mut left = vec![batch];
        let mut sent = None;
        while let Some(batch) = left.pop() {
            let answer = self.ask(index, Ask::post("/vectors/upsert", batch.body())).await?;
            if answer.is_success() {
                sent = later(sent, Some(Sent(wire::written_lsn(&answer))));
            } else if error::is_too_large(&answer)
                && let Some([first, second]) = batch.halves()
            {
                tracing::debug!(vectors = batch.len(), "a batch was too large and is sent in halves");
                left.extend([second, first]);
            } else {
                return Err(error::refused(&answer));
            }
        }
        Ok(sent)
    }

    /// Removes vectors by id, or all of them. `None` if the namespace is not there.
    async fn delete(&self, index: &Opened, namespace: &str, ids: Option<&[String]>) -> Result<Option<Sent>> {
        // Never ids together with anything else: Pinecone would pass over them.
        let body = wire::body(&Delete { ids, everything: ids.is_none().then_some(true), namespace })?;
        let answer = there(self.ask(index, Ask::post("/vectors/delete", body)).await?)?;
        Ok(answer.map(|answer| Sent(wire::written_lsn(&answer))))
    }

    /// Keeps the position in the service, with the place in the log from which everything up to it shows.
    async fn keep(&self, index: &Opened, namespace: &Namespace, position: ChangeSeq, lsn: Option<u64>) -> Result<()> {
        let mut metadata = BTreeMap::from([(POSITION.to_owned(), Meta::Text(position.0.to_string()))]);
        if let Some(lsn) = lsn {
            metadata.insert(LSN.to_owned(), Meta::Text(lsn.to_string()));
        }
        let marker = Vector { id: ids::encode(namespace.as_str()), values: direction(&index.model).into(), metadata };
        for batch in wire::upserts(STATE, &[marker])? {
            self.write(index, batch).await?;
        }
        Ok(())
    }

    /// Removes a namespace from every index of ours, whatever model it is for, and returns when nothing of it shows any more.
    pub(super) async fn remove(&self, namespace: &Namespace) -> Result<()> {
        let space = self.space(namespace);
        let _feed = space.feed.lock().await;
        for found in self.control.own().await? {
            let Some(host) = found.host else { continue };
            let client = self.control.at(&host)?;
            let model = any_model(&found.name)?;
            let index = Opened { model, name: found.name, host, client };
            // The position first: data without a position is fed over, a position without data would hide that it is gone.
            self.delete(&index, STATE, Some(&[ids::encode(namespace.as_str())])).await?;
            if self.delete(&index, namespace.as_str(), None).await?.is_some() {
                self.await_empty(&index, namespace).await?;
            }
        }
        space.restart();
        Ok(())
    }

    async fn await_empty(&self, index: &Opened, namespace: &Namespace) -> Result<()> {
        let begin = Instant::now();
        let mut pause = Duration::from_millis(20);
        let query = [("limit", "1"), ("namespace", namespace.as_str())];
        loop {
            let listed = there(self.ask(index, Ask::get("/vectors/list", &query)).await?)?;
            let listed = listed.map(|answer| answer.json::<wire::Listed>()).transpose()?;
            if listed.is_none_or(|listed| listed.vectors.is_none_or(|ids| ids.is_empty())) {
                return Ok(());
            }
            if begin.elapsed() >= self.control.config.settle_within {
                let message = "Pinecone took the removal of the namespace and still shows what was in it";
                return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }
}

/// The vector of a change; `None` where there is nothing to search: no record, or no embedding of it.
pub(super) fn vector(change: &IndexChange) -> Option<Vector<'_>> {
    let stored = change.record.as_ref()?;
    let embedding = stored.embedding.as_ref()?;
    Some(Vector {
        id: ids::encode(change.id.as_str()),
        values: wire::sendable(embedding.components()),
        metadata: held::metadata(&stored.record),
    })
}

/// Refuses an embedding of another model before anything is sent.
fn check_model(change: &IndexChange, model: Option<&EmbeddingModel>) -> Result<()> {
    let Some(embedding) = change.record.as_ref().and_then(|stored| stored.embedding.as_ref()) else { return Ok(()) };
    match model {
        Some(model) => model.check_same(embedding.model()),
        None => Err(Error::bug("an embedding reached a Pinecone index that was prepared for none")),
    }
}

/// Both of what was sent, where anything was.
fn later(sent: Option<Sent>, more: Option<Sent>) -> Option<Sent> {
    match (sent, more) {
        (Some(one), Some(other)) => Some(one.and(other)),
        (one, other) => one.or(other),
    }
}

/// Some vector of the model's space, for requests in which it does not matter.
fn direction(model: &EmbeddingModel) -> Vec<f32> {
    let mut direction = vec![0.0; model.dimension() as usize];
    if let Some(first) = direction.first_mut() {
        *first = 1.0;
    }
    direction
}

/// Stands for the model of an index that is only emptied.
fn any_model(name: &str) -> Result<EmbeddingModel> {
    EmbeddingModel::new("pinecone", name, 1, mnemic_core::Metric::Cosine)
}
