//! The `pgvector` index: dense search in PostgreSQL, kept in step inside of the database. Not here: connections, roles and walls
//! (`mnemic_postgres`), filters and positions (`postgres`).
//!
//! ```text
//! config   PgvectorConfig      setup    extension, table, one graph per dimension
//! feed     changes -> rows     search   few records: all of them; many: the graph; then exact cosines
//! ```

mod config;
mod feed;
mod search;
mod setup;

use async_trait::async_trait;
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Filter, Namespace, Page, PageRequest, Result,
    ports::{Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer, Precision, Visibility},
};
use mnemic_postgres::{Access, Pool, Type};

pub use config::PgvectorConfig;

use crate::postgres::{Seen, Space, Statement, column, count, listed, listing, lock, locked};
pub use setup::GRAPH_DIMENSIONS;
use setup::Setup;

/// Dense search in PostgreSQL.
#[derive(Debug)]
pub struct PgvectorIndex {
    pool: Pool,
    config: PgvectorConfig,
    setup: Setup,
    seen: Seen,
}

impl PgvectorIndex {
    /// An index in the database of `pool`. The database is not asked before it is used.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn new(pool: Pool, config: PgvectorConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { pool, config, setup: Setup::default(), seen: Seen::default() })
    }

    async fn space(&self, namespace: &Namespace) -> Result<Space> {
        let ask = Space::ask(self.config.name);
        let answers = self.pool.run(namespace, Access::Read, &[ask.query()]).await?;
        answers.first().map_or_else(|| Err(Error::bug("a statement was not answered")), Space::read)
    }

    /// What is not as it should be around the embeddings of a namespace.
    async fn surroundings(&self, namespace: &Namespace, space: &Space) -> Result<Vec<String>> {
        let dimension = space.model.as_ref().map(EmbeddingModel::dimension);
        let found = setup::look(&self.pool, namespace, dimension).await?;
        let mut faults = self.pool.faults().await?;
        if found.extension.is_none() {
            faults.push("the database lacks the extension pgvector; run: CREATE EXTENSION vector".to_owned());
        }
        let Some(dimension) = dimension.filter(|dimension| *dimension <= GRAPH_DIMENSIONS) else { return Ok(faults) };
        let name = format!("mnemic.vectors_hnsw_{dimension}");
        match found.graph {
            Some(true) => {}
            Some(false) => {
                faults.push(format!("the graph {name} is not whole; run: REINDEX INDEX CONCURRENTLY {name}"));
            }
            None => {
                faults.push(format!("the graph {name} is missing, so every search compares all; start Mnemic again"));
            }
        }
        Ok(faults)
    }
}

#[async_trait]
impl Index for PgvectorIndex {
    fn name(&self) -> &'static str {
        self.config.name
    }

    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities {
            dense: Offer::Yes,
            lexical: Offer::No,
            visibility: Visibility::Immediate,
            // It does not hold texts.
            filters: Precision::Coarse,
        }
    }

    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        self.setup.ensure(&self.pool, namespace, model.map(EmbeddingModel::dimension)).await?;
        let Some(model) = model else { return Ok(()) };
        if self.space(namespace).await?.model.as_ref() == Some(model) {
            return Ok(());
        }
        let [make, lock] = lock(self.config.name);
        let (transaction, answers) = self.pool.begin(namespace, Access::Write, &[make.query(), lock.query()]).await?;
        let adopted = locked(&answers).and_then(|mut space| space.adopt(model).map(|()| space));
        match adopted {
            Ok(space) => transaction.commit(&[space.save(self.config.name).query()]).await.map(drop),
            Err(error) => {
                drop(transaction.rollback().await);
                Err(error)
            }
        }
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        let position = self.space(namespace).await?.position;
        self.seen.note(namespace, position);
        Ok(position)
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.position(namespace).await
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        self.feed(namespace, changes, through).await
    }

    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        filter.check_composed()?;
        self.search(namespace, vector, filter, limit).await
    }

    async fn search_text(&self, _: &Namespace, _: &str, _: &Filter, _: usize) -> Result<Vec<IndexHit>> {
        Err(Error::new(ErrorKind::Unsupported, format!("the index {} does not search by words", self.config.name)))
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        self.setup.ensure(&self.pool, namespace, None).await?;
        let sql = "SELECT id, version, TRUE FROM mnemic.vectors WHERE namespace = $1 AND index_name = $2";
        let ask = listing(Statement::new(sql).with(self.config.name, Type::TEXT), page);
        let answers = self.pool.run(namespace, Access::Read, &[ask.query()]).await?;
        answers.first().map_or_else(|| Err(Error::bug("a statement was not answered")), |answer| listed(answer, page))
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.setup.ensure(&self.pool, namespace, None).await?;
        self.seen.forget(namespace);
        // The row first: whoever is applying holds its lock, and writes nothing after this.
        let row = Space::forget(self.config.name);
        let sql = "DELETE FROM mnemic.vectors WHERE namespace = $1 AND index_name = $2";
        let vectors = Statement::new(sql).with(self.config.name, Type::TEXT);
        self.pool.run(namespace, Access::Write, &[row.query(), vectors.query()]).await.map(drop)
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        self.setup.ensure(&self.pool, namespace, None).await?;
        let sql = "SELECT count(*), coalesce(sum(pg_column_size(d.*)), 0)::bigint,
                count(*) FILTER (WHERE d.dimension IS DISTINCT FROM s.dimension)
             FROM mnemic.vectors d
             LEFT JOIN mnemic.index_spaces s ON s.namespace = d.namespace AND s.index_name = d.index_name
             WHERE d.namespace = $1 AND d.index_name = $2";
        let tell = Statement::new(sql).with(self.config.name, Type::TEXT);
        let ask = Space::ask(self.config.name);
        let answers = self.pool.run(namespace, Access::Read, &[ask.query(), tell.query()]).await?;
        let space = answers.first().map_or_else(|| Ok(Space::default()), Space::read)?;
        let row = answers.get(1).and_then(|answer| answer.rows.first());
        let row = row.ok_or_else(|| Error::bug("a statement was not answered"))?;
        let (records, strangers): (u64, i64) = (count(row, 0)?, column(row, 2)?);
        let mut faults = self.surroundings(namespace, &space).await?;
        if records != space.records {
            faults.push(format!("{records} records are held, and {} were counted", space.records));
        }
        if strangers > 0 {
            faults.push(format!("{strangers} embeddings are not of the index's model"));
        }
        Ok(IndexReport { records, embeddings: records, bytes: count(row, 1)?, faults })
    }
}
