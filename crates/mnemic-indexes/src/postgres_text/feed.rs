//! Applies changes of the feed: one transaction that holds the lock of the namespace's row, and moves every statistic that scores
//! depend on. Not here: searching (`search`).

use std::collections::BTreeMap;

use mnemic_core::{ChangeSeq, MemoryRecord, Namespace, RecordId, Result, ports::IndexChange};
use mnemic_postgres::{Answer, Query, Transaction, Type};

use super::{NAME, PostgresTextIndex, terms::Terms};
use crate::{
    analyze::{Scan, fingerprint},
    postgres::{COLUMNS, Space, Statement, bind_columns, column, feeding, lock, locked},
};

/// Records whose terms are sent at once.
const STRIDE: usize = 128;

/// A document as it is stored.
struct Held {
    document: i64,
    version: i64,
    length: i32,
    terms: Vec<String>,
}

/// What a stretch of the feed comes to.
#[derive(Default)]
struct Plan<'a> {
    puts: Vec<&'a MemoryRecord>,
    /// Ids whose documents go, replaced or not.
    gone: Vec<String>,
}

impl PostgresTextIndex {
    pub(super) async fn feed(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        let [make, lock] = lock(NAME);
        let (transaction, answers) =
            self.pool.begin(namespace, feeding(changes), &[make.query(), lock.query()]).await?;
        let moved = match locked(&answers) {
            Ok(space) => change(&transaction, space, changes, through).await,
            Err(error) => Err(error),
        };
        match moved {
            Ok(space) => {
                transaction.commit(&[space.save(NAME).query()]).await?;
                self.seen.note(namespace, space.position);
                Ok(())
            }
            Err(error) => {
                // What failed is told; that it was undone follows from its transaction's end.
                drop(transaction.rollback().await);
                Err(error)
            }
        }
    }
}

async fn change(
    transaction: &Transaction,
    mut space: Space,
    changes: &[IndexChange],
    through: ChangeSeq,
) -> Result<Space> {
    if space.analysis != fingerprint() {
        // Texts that were analyzed differently would never be found; the feed is read anew.
        if space.records > 0 {
            let all = everything();
            transaction.run(&all.each_ref().map(Statement::query)).await?;
        }
        space = Space { analysis: fingerprint(), ..Space::default() };
    }
    let mut held = touched(transaction, changes, space.position).await?;
    let plan = plan(changes, space.position, &held);
    held.retain(|id, _| plan.gone.binary_search(id).is_ok());
    let mut frequencies: BTreeMap<String, i64> = BTreeMap::new();
    take_out(transaction, &mut space, held, &mut frequencies).await?;
    let mut scan = Scan::default();
    for stride in plan.puts.chunks(STRIDE) {
        put(transaction, &mut space, stride, &mut scan, &mut frequencies).await?;
    }
    frequencies.retain(|_, by| *by != 0);
    if !frequencies.is_empty() {
        let (terms, by): (Vec<String>, Vec<i64>) = frequencies.into_iter().unzip();
        let change = Statement::new(
            "INSERT INTO mnemic.text_terms (namespace, term, documents) SELECT $1, * FROM unnest($2, $3)
             ON CONFLICT (namespace, term) DO UPDATE SET documents = text_terms.documents + EXCLUDED.documents",
        )
        .with(terms.clone(), Type::TEXT_ARRAY)
        .with(by, Type::INT8_ARRAY);
        let sql = "DELETE FROM mnemic.text_terms WHERE namespace = $1 AND term = ANY ($2) AND documents <= 0";
        let clean = Statement::new(sql).with(terms, Type::TEXT_ARRAY);
        transaction.run(&[change.query(), clean.query()]).await?;
    }
    space.position = space.position.max(through);
    Ok(space)
}

/// Statements that empty a namespace.
pub(super) fn everything() -> [Statement; 3] {
    ["text_postings", "text_terms", "text_documents"]
        .map(|table| Statement::new(format!("DELETE FROM mnemic.{table} WHERE namespace = $1")))
}

/// What is held of the records that changes are about.
async fn touched(
    transaction: &Transaction,
    changes: &[IndexChange],
    position: ChangeSeq,
) -> Result<BTreeMap<String, Held>> {
    let new = changes.iter().filter(|change| change.seq > position);
    let ids: Vec<String> = new.map(|change| change.id.as_str().to_owned()).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql =
        "SELECT id, document, version, length, terms FROM mnemic.text_documents WHERE namespace = $1 AND id = ANY ($2)";
    let ask = Statement::new(sql).with(ids, Type::TEXT_ARRAY);
    let mut held = BTreeMap::new();
    for row in transaction.run(&[ask.query()]).await?.iter().flat_map(|answer: &Answer| &answer.rows) {
        let (document, version) = (column(row, 1)?, column(row, 2)?);
        let found = Held { document, version, length: column(row, 3)?, terms: column(row, 4)? };
        held.insert(column::<String>(row, 0)?, found);
    }
    Ok(held)
}

/// The last word on each record, and nothing for a revision that is held already: only its embedding can be new.
fn plan<'a>(changes: &'a [IndexChange], position: ChangeSeq, held: &BTreeMap<String, Held>) -> Plan<'a> {
    let mut last: BTreeMap<&RecordId, (&IndexChange, bool)> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.seq > position) {
        // After a removal the versions of a record begin anew.
        let went = last.get(&change.id).is_some_and(|(_, went)| *went) || change.record.is_none();
        last.insert(&change.id, (change, went));
    }
    let mut plan = Plan::default();
    for (id, (change, went)) in last {
        let record = change.record.as_ref().map(|stored| &stored.record);
        let old = held.get(id.as_str());
        let is_same =
            |record: &MemoryRecord| !went && old.is_some_and(|held| held.version.cast_unsigned() == record.version.0);
        if record.is_some_and(is_same) {
            continue;
        }
        plan.gone.push(id.as_str().to_owned());
        plan.puts.extend(record);
    }
    plan
}

async fn take_out(
    transaction: &Transaction,
    space: &mut Space,
    held: BTreeMap<String, Held>,
    frequencies: &mut BTreeMap<String, i64>,
) -> Result<()> {
    if held.is_empty() {
        return Ok(());
    }
    let (mut ids, mut documents, mut terms) = (Vec::new(), Vec::new(), Vec::new());
    for (id, held) in held {
        space.records = space.records.saturating_sub(1);
        space.length = space.length.saturating_sub(u64::from(held.length.cast_unsigned()));
        for term in held.terms {
            *frequencies.entry(term.clone()).or_default() -= 1;
            documents.push(held.document);
            terms.push(term);
        }
        ids.push(id);
    }
    let rows = Statement::new("DELETE FROM mnemic.text_documents WHERE namespace = $1 AND id = ANY ($2)")
        .with(ids, Type::TEXT_ARRAY);
    let postings = Statement::new(
        "DELETE FROM mnemic.text_postings p USING unnest($2, $3) AS gone (term, document)
         WHERE p.namespace = $1 AND p.term = gone.term AND p.document = gone.document",
    )
    .with(terms, Type::TEXT_ARRAY)
    .with(documents, Type::INT8_ARRAY);
    transaction.run(&[rows.query(), postings.query()]).await.map(drop)
}

async fn put(
    transaction: &Transaction,
    space: &mut Space,
    records: &[&MemoryRecord],
    scan: &mut Scan,
    frequencies: &mut BTreeMap<String, i64>,
) -> Result<()> {
    let (mut all_terms, mut documents, mut counts, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut statements = Vec::with_capacity(records.len() + 1);
    for record in records {
        let terms = Terms::of(&record.text, scan);
        space.documents += 1;
        space.records += 1;
        space.length += u64::from(terms.length);
        space.languages |= terms.languages;
        statements.push(insert(record, space.documents, &terms));
        for (term, count) in terms.counts {
            *frequencies.entry(term.clone()).or_default() += 1;
            all_terms.push(term);
            documents.push(space.documents);
            counts.push(i32::from(count));
            lengths.push(terms.length.cast_signed());
        }
    }
    statements.push(
        Statement::new(
            "INSERT INTO mnemic.text_postings (namespace, term, document, count, length) SELECT $1, * FROM unnest($2, $3, $4, $5)",
        )
        .with(all_terms, Type::TEXT_ARRAY)
        .with(documents, Type::INT8_ARRAY)
        .with(counts, Type::INT4_ARRAY)
        .with(lengths, Type::INT4_ARRAY),
    );
    let queries: Vec<Query<'_>> = statements.iter().map(Statement::query).collect();
    transaction.run(&queries).await.map(drop)
}

fn insert(record: &MemoryRecord, document: i64, terms: &Terms) -> Statement {
    let mut statement = Statement::new("")
        .with(record.id.as_str().to_owned(), Type::TEXT)
        .with(document, Type::INT8)
        .with(record.version.0.cast_signed(), Type::INT8)
        .with(terms.language_names(), Type::TEXT_ARRAY)
        .with(terms.length.cast_signed(), Type::INT4)
        .with(terms.counts.keys().cloned().collect::<Vec<_>>(), Type::TEXT_ARRAY);
    let values = bind_columns(record, &mut statement);
    statement.push(&format!(
        "INSERT INTO mnemic.text_documents (namespace, id, document, version, languages, length, terms, {COLUMNS})
         VALUES ($1, $2, $3, $4, $5, $6, $7, {values})"
    ));
    statement
}
