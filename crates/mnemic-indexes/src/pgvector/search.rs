//! Finds the closest records: by comparing all that pass where they are few, by the graph where they are many. Not here: what is stored
//! (`feed`).
//!
//! All namespaces share one graph per dimension, and a condition is looked at only after the graph has found an entry. Where few
//! entries pass, the graph finds few of them. So those that pass are counted first, up to a bound. Whatever is found either way
//! is scored in single precision, by the server.

use mnemic_core::{Embedding, Error, Filter, Namespace, Result, Version, ports::IndexHit};
use mnemic_postgres::{Access, Answer, Query, Transaction, Type};

use super::{PgvectorIndex, feed::unit, setup::GRAPH_DIMENSIONS};
use crate::postgres::{Space, Statement, column, condition, count, id};

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
    /// What is asked of each record. Its embedding stays where it is: all that are asked for would be most of a megabyte.
    fn select(&self) -> String {
        format!(
            "SELECT d.id, d.version, d.embedding OPERATOR({schema}.<#>) $3::{schema}.vector AS away ",
            schema = self.schema
        )
    }

    /// Keeps the closest of `d`, ties by id.
    fn cut(&self, statement: &mut Statement) {
        statement.push(&format!(" ORDER BY away, d.id LIMIT {}", self.limit));
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

    async fn closest(&self, transaction: &Transaction, search: &Search<'_>, space: &Space) -> Result<Vec<IndexHit>> {
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
            let hits = hits(answers.last())?;
            if hits.len() == search.limit {
                return Ok(hits);
            }
            // Too few of the entries that the graph may look at pass.
        }
        let ask = self.ask_all(search);
        hits(transaction.run(&[ask.query()]).await?.last())
    }

    /// Whether so many records pass that the graph finds enough of them, and faster.
    async fn is_many(&self, transaction: &Transaction, search: &Search<'_>, records: u64) -> Result<bool> {
        let few = self.config.exact_records.max(search.limit as u64 * 2);
        if records <= few || search.vector.model().dimension() > GRAPH_DIMENSIONS {
            return Ok(false);
        }
        let mut statement = self.among("SELECT count(*) FROM (SELECT ", search);
        if condition(search.filter, &mut Statement::new("")).is_none() {
            return Ok(true);
        }
        statement.push(&format!(" LIMIT {}) AS passing", few + 1));
        let answers = transaction.run(&[statement.query()]).await?;
        let row = answers.first().and_then(|answer| answer.rows.first());
        let passing = row.map_or(Ok(0), |row| count(row, 0))?;
        Ok(passing > few)
    }

    /// What begins with `select` and goes on with the records that pass. `$2` is the name of the index, `$3` what is looked for.
    fn among(&self, select: &str, search: &Search<'_>) -> Statement {
        let unit = unit(search.vector);
        let mut statement = Statement::new(select).with(self.config.name, Type::TEXT).with(unit, Type::FLOAT4_ARRAY);
        statement.push("FROM mnemic.vectors d WHERE d.namespace = $1 AND d.index_name = $2");
        if let Some(condition) = condition(search.filter, &mut statement) {
            statement.push(&format!(" AND {condition}"));
        }
        statement
    }

    /// Compares every record that passes.
    fn ask_all(&self, search: &Search<'_>) -> Statement {
        let mut statement = self.among(&search.select(), search);
        search.cut(&mut statement);
        statement
    }

    /// Asks the graph, whose half precision and whose order are only nearly right, for many more than are wanted, and keeps the best.
    fn ask_graph(&self, search: &Search<'_>) -> (Statement, Statement) {
        let Search { schema, vector, limit, .. } = *search;
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
        let mut ask = self.among(&format!("{} FROM (SELECT d.id, d.version, d.embedding ", search.select()), search);
        ask.push(&format!(
            " AND d.dimension = {dimension}
             ORDER BY d.embedding::{schema}.halfvec({dimension}) OPERATOR({schema}.<=>)
                $3::{schema}.vector::{schema}.halfvec({dimension})
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

/// What was found, closest first.
fn hits(answer: Option<&Answer>) -> Result<Vec<IndexHit>> {
    let rows = answer.into_iter().flat_map(|answer| &answer.rows);
    rows.map(|row| {
        // Products of vectors of length one, with their sign turned; sums go a little over the ends of the scale.
        let away: f64 = column(row, 2)?;
        let score = (-away as f32).clamp(-1.0, 1.0);
        Ok(IndexHit { id: id(column(row, 0)?)?, version: Version(count(row, 1)?), score })
    })
    .collect()
}
