//! Finds the best records by words: the server adds up gains in whole numbers and keeps the best, and their scores are then computed as
//! the local index computes them. Not here: what is stored (`feed`).
//!
//! No record can gain more by a word than the word's weight. Where a query's words occur often, only records that hold one of
//! the rarest words are scored at first. If the weights of the words that were left out come to less than the last of the best
//! has, no record that holds nothing but them can enter, and the answer is that of scoring every record; otherwise as many words
//! as this takes are added, and it is asked once more.

use mnemic_core::{Error, Filter, Namespace, Result, Version, ports::IndexHit};
use mnemic_postgres::{Access, Answer, Transaction, Type};

use super::{
    NAME, PostgresTextIndex,
    terms::{Word, small, weighed, words},
};
use crate::{
    bm25::Bm25,
    postgres::{Space, Statement, column, condition, count, id},
};

/// More than asked for, so that rounding leaves out none of the best.
const SLACK: usize = 16;
/// What the largest weight is in whole numbers, in which the order of additions changes nothing.
const LARGEST: f64 = 1_073_741_824.0;
/// Records for each that is asked for that the rare words should bring.
const CHOICE: u64 = 20;

/// One question.
struct Search<'a> {
    words: Vec<Word>,
    bm25: Bm25,
    filter: &'a Filter,
    limit: usize,
}

impl PostgresTextIndex {
    pub(super) async fn search(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        let ask = Space::ask(NAME);
        let before = self.seen.before(namespace);
        let (transaction, answers) = self.pool.begin(namespace, Access::Read, &[ask.query()]).await?;
        let space = answers.first().map_or_else(|| Err(Error::bug("a statement was not answered")), Space::read);
        let found = match space.and_then(|space| self.seen.check(namespace, before, &space).map(|()| space)) {
            Ok(space) => self.best(&transaction, &space, query, filter, limit).await,
            Err(error) => Err(error),
        };
        let ended = transaction.rollback().await;
        let hits = found?;
        ended.map(|()| hits)
    }

    async fn best(
        &self,
        transaction: &Transaction,
        space: &Space,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        let words = words(query, space.languages);
        if words.is_empty() || limit == 0 || space.records == 0 {
            return Ok(Vec::new());
        }
        let limit = limit.min(usize::try_from(space.records).unwrap_or(usize::MAX));
        let bm25 = Bm25::new(self.config.bm25, space.records as f64, space.length);
        let terms: Vec<String> = words.iter().flat_map(|word| word.readings.iter().cloned()).collect();
        let sql = "SELECT term, documents FROM mnemic.text_terms WHERE namespace = $1 AND term = ANY ($2)";
        let ask = Statement::new(sql).with(terms, Type::TEXT_ARRAY);
        let answers = transaction.run(&[ask.query()]).await?;
        let frequencies = answers.first().ok_or_else(|| Error::bug("a statement was not answered"))?;
        let search = Search { words: weighed(words, frequencies, &bm25)?, bm25, filter, limit };
        if search.words.is_empty() {
            return Ok(Vec::new());
        }
        let mut choosing = search.choosing(self.config.postings_at_once);
        loop {
            let ask = search.ask(&choosing);
            let hits = search.hits(transaction.run(&[ask.query()]).await?.first())?;
            let floor = hits.get(search.limit - 1).map_or(0.0, |last| last.score);
            let needed = search.needed(floor);
            // A choice that holds all that is needed was exact. The floor only rises, so the second choice is the last.
            if needed.iter().all(|word| choosing.contains(word)) {
                return Ok(hits);
            }
            choosing = needed;
        }
    }
}

impl Search<'_> {
    /// The words by weight, heaviest first.
    fn by_weight(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.words.len()).collect();
        let weight = |at: &usize| self.words.get(*at).map_or(0.0, |word| word.weight);
        order.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        order
    }

    /// The words that choose the records at first: all if they occur seldom, else the heaviest until they bring a choice.
    fn choosing(&self, at_once: u64) -> Vec<usize> {
        let order = self.by_weight();
        let occurrences = |at: &usize| self.words.get(*at).map_or(0, |word| word.documents);
        if order.iter().map(occurrences).sum::<u64>() <= at_once {
            return order;
        }
        let wanted = CHOICE * self.limit as u64;
        let mut brought = 0;
        let mut chosen = Vec::new();
        for at in order {
            if brought >= wanted {
                break;
            }
            brought += occurrences(&at);
            chosen.push(at);
        }
        chosen
    }

    /// The words of which a record must hold one to score more than `floor`: all but the lightest that come to less together.
    fn needed(&self, floor: f32) -> Vec<usize> {
        let mut order = self.by_weight();
        // Rounding of either side must not decide.
        let mut room = f64::from(floor) * (1.0 - 1e-5);
        while let Some(word) = order.last().and_then(|last| self.words.get(*last)) {
            room -= f64::from(word.weight);
            if room <= 0.0 {
                break;
            }
            order.pop();
        }
        order
    }

    /// Scores the records that hold one of the words that choose, and returns the best with what their scores are made of.
    fn ask(&self, choosing: &[usize]) -> Statement {
        let heaviest = self.words.iter().map(|word| f64::from(word.weight)).fold(f64::MIN_POSITIVE, f64::max);
        let (mut terms, mut numbers, mut weights, mut choice) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (at, word) in self.words.iter().enumerate() {
            for term in &word.readings {
                terms.push(term.clone());
                numbers.push(i32::try_from(at).unwrap_or(i32::MAX));
                weights.push(f64::from(word.weight) / heaviest * LARGEST);
                if choosing.contains(&at) {
                    choice.push(term.clone());
                }
            }
        }
        let is_all = choosing.len() == self.words.len();
        let mut statement = Statement::new("")
            .with(terms, Type::TEXT_ARRAY)
            .with(numbers, Type::INT4_ARRAY)
            .with(weights, Type::FLOAT8_ARRAY)
            .with(f64::from(self.bm25.base), Type::FLOAT8)
            .with(f64::from(self.bm25.slope), Type::FLOAT8);
        let chosen = if is_all {
            String::new()
        } else {
            let place = statement.bind(choice, Type::TEXT_ARRAY);
            format!(
                " AND p.document IN (SELECT c.document FROM mnemic.text_postings c WHERE c.namespace = $1 AND c.term = ANY ({place}))"
            )
        };
        let most = self.limit + SLACK;
        // Where every record passes, only those that can be among the best are looked up, for their ids decide between equals.
        let passes = condition(self.filter, &mut statement).unwrap_or_else(|| {
            let last = format!("SELECT score FROM scored ORDER BY score DESC OFFSET {} LIMIT 1", most - 1);
            format!("scored.score >= coalesce(({last}), 0)")
        });
        statement.push(&format!(
            "WITH word AS MATERIALIZED (SELECT * FROM unnest($2, $3, $4) AS word (term, number, weight)),
             scored AS MATERIALIZED (
                SELECT p.document, max(p.length) AS length,
                    sum((word.weight * p.count / (p.count + $5 + $6 * p.length))::integer) AS score
                FROM mnemic.text_postings p JOIN word ON word.term = p.term
                WHERE p.namespace = $1 AND p.term = ANY ($2){chosen}
                GROUP BY p.document),
             best AS MATERIALIZED (
                SELECT d.id, d.version, scored.document, scored.length
                FROM scored JOIN mnemic.text_documents d ON d.namespace = $1 AND d.document = scored.document
                WHERE {passes}
                ORDER BY scored.score DESC, d.id LIMIT {most})
             SELECT best.id, best.version, best.length, parts.numbers, parts.counts FROM best CROSS JOIN LATERAL (
                SELECT array_agg(word.number) AS numbers, array_agg(p.count) AS counts
                FROM mnemic.text_postings p JOIN word ON word.term = p.term
                WHERE p.namespace = $1 AND p.term = ANY ($2) AND p.document = best.document) AS parts"
        ));
        statement
    }

    fn hits(&self, answer: Option<&Answer>) -> Result<Vec<IndexHit>> {
        let mut hits = Vec::new();
        for row in answer.into_iter().flat_map(|answer| &answer.rows) {
            let length = small(column(row, 2)?)?;
            let (numbers, counts): (Vec<i32>, Vec<i32>) = (column(row, 3)?, column(row, 4)?);
            let mut parts: Vec<(i32, i32)> = numbers.into_iter().zip(counts).collect();
            // The order in which the local index adds.
            parts.sort_unstable();
            let mut score = 0.0f32;
            for (number, count) in parts {
                if let Some(word) = self.words.get(small::<usize>(number)?) {
                    score += self.bm25.gain(word.weight, small(count)?, length);
                }
            }
            hits.push(IndexHit { id: id(column(row, 0)?)?, version: Version(count(row, 1)?), score });
        }
        hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        hits.truncate(self.limit);
        Ok(hits)
    }
}
