//! The `postgres_text` index: lexical search in any PostgreSQL from 15 on, without extensions, with the scores of the local index.
//! Not here: connections, roles and walls (`mnemic_postgres`), filters and positions (`postgres`).
//!
//! ```text
//! config   PostgresTextConfig     terms    texts and queries -> terms
//! feed     changes -> rows        search   words -> records, best first
//! ```
//!
//! The server knows terms as plain strings: nothing of a query is ever parsed as `tsquery`, and no text-search configuration of the
//! server decides how words are found.

mod config;
mod feed;
mod search;
mod terms;

use async_trait::async_trait;
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Filter, Namespace, Page, PageRequest, Result,
    ports::{Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer, Precision, Visibility},
};
use mnemic_postgres::{Access, Pool, Query};

pub use config::PostgresTextConfig;

use crate::{
    analyze::fingerprint,
    postgres::{Seen, Space, Statement, column, count, listed, listing},
};

/// Its name in explanations, and the key of its position.
const NAME: &str = "postgres_text";

/// Lexical search in PostgreSQL.
#[derive(Debug)]
pub struct PostgresTextIndex {
    pool: Pool,
    config: PostgresTextConfig,
    seen: Seen,
}

impl PostgresTextIndex {
    /// An index in the database of `pool`. The database is not asked before it is used.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn new(pool: Pool, config: PostgresTextConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { pool, config, seen: Seen::default() })
    }
}

#[async_trait]
impl Index for PostgresTextIndex {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities {
            dense: Offer::No,
            lexical: Offer::Yes,
            visibility: Visibility::Immediate,
            // It holds terms and no texts.
            filters: Precision::Coarse,
        }
    }

    async fn prepare(&self, _: &Namespace, _: Option<&EmbeddingModel>) -> Result<()> {
        self.pool.ready().await.map(drop)
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        let ask = Space::ask(NAME);
        let answers = self.pool.run(namespace, Access::Read, &[ask.query()]).await?;
        let space = answers.first().map_or_else(|| Ok(Space::default()), Space::read)?;
        // What was analyzed differently counts as nothing, so that the feed is read anew.
        let position = if space.analysis == fingerprint() { space.position } else { ChangeSeq::default() };
        self.seen.note(namespace, position);
        Ok(position)
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.position(namespace).await
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        self.feed(namespace, changes, through).await
    }

    async fn search_dense(&self, _: &Namespace, _: &Embedding, _: &Filter, _: usize) -> Result<Vec<IndexHit>> {
        Err(Error::new(ErrorKind::Unsupported, format!("the index {NAME} does not search by vector")))
    }

    async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        filter.check_composed()?;
        self.search(namespace, query, filter, limit).await
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        let sql = "SELECT id, version, FALSE FROM mnemic.text_documents WHERE namespace = $1";
        let ask = listing(Statement::new(sql), page);
        let answers = self.pool.run(namespace, Access::Read, &[ask.query()]).await?;
        answers.first().map_or_else(|| Err(Error::bug("a statement was not answered")), |answer| listed(answer, page))
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.seen.forget(namespace);
        // The row first: whoever is applying holds its lock, and writes nothing after this.
        let row = Space::forget(NAME);
        let rest = feed::everything();
        let queries: Vec<Query<'_>> = std::iter::once(&row).chain(&rest).map(Statement::query).collect();
        self.pool.run(namespace, Access::Write, &queries).await.map(drop)
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        let ask = Space::ask(NAME);
        let documents = Statement::new(
            "SELECT count(*), coalesce(sum(length), 0)::bigint, coalesce(sum(pg_column_size(d.*)), 0)::bigint
             FROM mnemic.text_documents d WHERE namespace = $1",
        );
        let postings = Statement::new(
            "SELECT coalesce(sum(held.size), 0)::bigint, count(*) FILTER (WHERE held.documents IS DISTINCT FROM told.documents)
             FROM (SELECT p.term, count(*) AS documents, sum(pg_column_size(p.*)) AS size
                FROM mnemic.text_postings p WHERE p.namespace = $1 GROUP BY p.term) AS held
             FULL JOIN (SELECT term, documents FROM mnemic.text_terms WHERE namespace = $1) AS told USING (term)",
        );
        let queries = [ask.query(), documents.query(), postings.query()];
        let answers = self.pool.run(namespace, Access::Read, &queries).await?;
        let [space, documents, postings] = answers.as_slice() else {
            return Err(Error::bug("a statement was not answered"));
        };
        let space = Space::read(space)?;
        let (Some(documents), Some(postings)) = (documents.rows.first(), postings.rows.first()) else {
            return Err(Error::bug("a count has no row"));
        };
        let (records, length, wrong): (u64, u64, i64) =
            (count(documents, 0)?, count(documents, 1)?, column(postings, 1)?);
        let mut faults = self.pool.faults().await?;
        if records != space.records {
            faults.push(format!("{records} records are held, and {} were counted", space.records));
        }
        if length != space.length {
            faults.push(format!("the texts hold {length} words together, not {}", space.length));
        }
        if wrong > 0 {
            faults.push(format!("{wrong} terms count their records wrongly"));
        }
        let bytes = count(documents, 2)? + count(postings, 0)?;
        Ok(IndexReport { records, embeddings: 0, bytes, faults })
    }
}
