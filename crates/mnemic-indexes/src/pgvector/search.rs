//! Finds the closest records: by comparing all that pass where they are few, by the graph where they are many. Not here: what is stored
//! (`feed`).
//!
//! All namespaces share one graph per dimension, and a condition is looked at only after the graph has found an entry. Where few
//! entries pass, the graph finds few of them. So those that pass are counted first, up to a bound. Whatever is found either way
//! is scored again in double precision.

use mnemic_core::{Embedding, Error, Filter, Namespace, Result, Version, ports::IndexHit};
use mnemic_postgres::{Access, Answer, Query, Transaction, Type, corrupted};

use super::{PgvectorIndex, feed::unit, setup::GRAPH_DIMENSIONS};
use crate::postgres::{Space, Statement, column, condition, count, id};

/// More than asked for, so that rounding in single precision leaves out none of the best.
const SLACK: usize = 16;
/// How many of the graph's are looked at for each that is wanted, at least.
const SPREAD: usize = 8;

/// One question.
struct Search<'a> {
    schema: &'a str,
    vector: &'a Embedding,
    filter: &'a Filter,
    limit: usize,
}

impl Search<'_> {
    /// What is asked of each record. As an array, an embedding would be twice as long, and written and read number by number.
    fn select(&self) -> String {
        format!("SELECT d.id, d.version, {}.vector_send(d.embedding) ", self.schema)
    }

    /// Keeps the closest of `d`, ties by id.
    fn cut(&self, statement: &mut Statement) {
        let place = statement.bind(unit(self.vector), Type::FLOAT4_ARRAY);
        let Self { schema, limit, .. } = self;
        statement.push(&format!(
            " ORDER BY d.embedding OPERATOR({schema}.<#>) {place}::{schema}.vector, d.id LIMIT {}",
            limit + SLACK
        ));
    }
}

impl PgvectorIndex {
    pub(super) async fn search(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        let schema = self.setup.ensure(&self.pool, namespace, None).await?;
        let ask = Space::ask(self.config.name);
        let before = self.seen.before(namespace);
        let (transaction, answers) = self.pool.begin(namespace, Access::Read, &[ask.query()]).await?;
        let search = Search { schema, vector, filter, limit };
        let space = answers.first().map_or_else(|| Err(Error::bug("a statement was not answered")), Space::read);
        let found = match space.and_then(|space| self.seen.check(namespace, before, &space).map(|()| space)) {
            Ok(space) => self.closest(&transaction, &search, &space).await,
            Err(error) => Err(error),
        };
        let ended = transaction.rollback().await;
        let hits = found?;
        ended.map(|()| hits)
    }

    async fn closest(
        &self,
        transaction: &Transaction,
        search: &Search<'_>,
        space: &Space,
    ) -> Result<Vec<IndexHit>> {
        let Some(model) = &space.model else { return Ok(Vec::new()) };
        model.check_same(search.vector.model())?;
        if search.limit == 0 || space.records == 0 {
            return Ok(Vec::new());
        }
        let limit = search.limit.min(usize::try_from(space.records).unwrap_or(usize::MAX));
        let search = &Search { limit, ..*search };
        if self.is_many(transaction, search, space.records).await? {
            let (settings, ask) = self.ask_graph(search);
            let answers = transaction.run(&[settings.query(), ask.query()]).await?;
            let hits = hits(answers.last(), search)?;
            if hits.len() == search.limit {
                return Ok(hits);
            }
            // Too few of the entries that the graph may look at pass.
        }
        let ask = self.ask_all(search);
        hits(transaction.run(&[ask.query()]).await?.last(), search)
    }

    /// Whether so many records pass that the graph finds enough of them, and faster.
    async fn is_many(&self, transaction: &Transaction, search: &Search<'_>, records: u64) -> Result<bool> {
        let few = self.config.exact_records.max(search.limit as u64 * 2);
        if records <= few || search.vector.model().dimension() > GRAPH_DIMENSIONS {
            return Ok(false);
        }
        let mut statement = self.among("SELECT count(*) FROM (SELECT ", search.filter);
        if condition(search.filter, &mut Statement::new("")).is_none() {
            return Ok(true);
        }
        statement.push(&format!(" LIMIT {}) AS passing", few + 1));
        let answers = transaction.run(&[statement.query()]).await?;
        let row = answers.first().and_then(|answer| answer.rows.first());
        let passing = row.map_or(Ok(0), |row| count(row, 0))?;
        Ok(passing > few)
    }

    /// What begins with `select` and goes on with the records that pass. `$2` is the name of the index.
    fn among(&self, select: &str, filter: &Filter) -> Statement {
        let mut statement = Statement::new(select).with(self.config.name, Type::TEXT);
        statement.push("FROM mnemic.vectors d WHERE d.namespace = $1 AND d.index_name = $2");
        if let Some(condition) = condition(filter, &mut statement) {
            statement.push(&format!(" AND {condition}"));
        }
        statement
    }

    /// Compares every record that passes.
    fn ask_all(&self, search: &Search<'_>) -> Statement {
        let mut statement = self.among(&search.select(), search.filter);
        search.cut(&mut statement);
        statement
    }

    /// Asks the graph, whose half precision and whose order are only nearly right, for many more than are wanted, and keeps the best.
    fn ask_graph(&self, search: &Search<'_>) -> (Statement, Statement) {
        let Search { schema, vector, filter, limit } = *search;
        let dimension = vector.model().dimension();
        let wanted = (limit * SPREAD).max(usize::from(self.config.ef_search));
        // A plan that sorts below the graph would compare every record of the namespace, which is what was decided against.
        let settings = Statement::new(
            "SELECT set_config('hnsw.ef_search', $2, true), set_config('hnsw.max_scan_tuples', $3, true),
                set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.scan_mem_multiplier', '4', true),
                set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true),
                set_config('enable_bitmapscan', 'off', true)
             WHERE $1 <> ''",
        )
        .with(wanted.min(1000).to_string(), Type::TEXT)
        .with(self.config.max_scan_tuples.to_string(), Type::TEXT);
        let mut ask = self.among(&format!("{} FROM (SELECT d.id, d.version, d.embedding ", search.select()), filter);
        let place = ask.bind(unit(vector), Type::FLOAT4_ARRAY);
        ask.push(&format!(
            " AND d.dimension = {dimension}
             ORDER BY d.embedding::{schema}.halfvec({dimension}) OPERATOR({schema}.<=>)
                {place}::{schema}.vector::{schema}.halfvec({dimension})
             LIMIT {wanted}) AS d"
        ));
        search.cut(&mut ask);
        (settings, ask)
    }

    /// How the server would ask the graph, for tests.
    #[doc(hidden)]
    pub async fn explain_graph(&self, namespace: &Namespace, vector: &Embedding, filter: &Filter) -> Result<String> {
        let dimension = Some(vector.model().dimension());
        let schema = self.setup.ensure(&self.pool, namespace, dimension).await?;
        let (settings, ask) = self.ask_graph(&Search { schema, vector, filter, limit: 10 });
        let explain = ask.explained();
        let queries: [Query<'_>; 2] = [settings.query(), explain.query()];
        let answers = self.pool.run(namespace, Access::Read, &queries).await?;
        let lines = answers.iter().skip(1).flat_map(|answer| &answer.rows).map(|row| column::<String>(row, 0));
        lines.collect::<Result<Vec<_>>>().map(|lines| lines.join("\n"))
    }
}

/// The best of what was found, by the cosine in double precision.
fn hits(answer: Option<&Answer>, search: &Search<'_>) -> Result<Vec<IndexHit>> {
    let rows = answer.into_iter().flat_map(|answer| &answer.rows);
    let mut hits = rows
        .map(|row| {
            let held = Embedding::new(search.vector.model(), components(column(row, 2)?)?)
                .map_err(|e| corrupted("an embedding is none").with_source(e))?;
            let score = search.vector.cosine(&held)?;
            Ok(IndexHit { id: id(column(row, 0)?)?, version: Version(count(row, 1)?), score })
        })
        .collect::<Result<Vec<IndexHit>>>()?;
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
    hits.truncate(search.limit);
    Ok(hits)
}

/// Reads an embedding in pgvector's binary form: how many components as two bytes, two bytes of nothing, the components, all of it with
/// the highest byte first.
fn components(sent: &[u8]) -> Result<Vec<f32>> {
    let told =
        sent.split_first_chunk().map(|(head, rest)| (u16::from_be_bytes(*head), rest.get(2..).unwrap_or_default()));
    match told.map(|(count, rest)| (usize::from(count), rest.as_chunks())) {
        Some((count, (chunks, []))) if chunks.len() == count => {
            Ok(chunks.iter().copied().map(f32::from_be_bytes).collect())
        }
        _ => Err(corrupted("an embedding is not in the form of pgvector")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedding_is_read_as_it_is_sent_or_refused() {
        let sent = [&[0, 2, 0, 0][..], &1.5f32.to_be_bytes(), &(-0.25f32).to_be_bytes()].concat();
        assert_eq!(components(&sent).unwrap(), [1.5, -0.25]);
        for bad in [&sent[..11], &sent[..8], &sent[..3], &[], &[sent.clone(), vec![0; 4]].concat()] {
            assert!(components(bad).is_err(), "{bad:?}");
        }
    }
}
