//! Group commit: commits of one namespace that wait are merged into one transaction, which costs one round trip or two, and one sync of
//! the server's log however many they are. One task at a time serves a namespace. Not here: what a batch does (`commit`).

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mnemic_core::{Batch, Error, ErrorKind, Namespace, Receipt, Result};
use mnemic_postgres::Pool;
use tokio::sync::oneshot;

use super::{commit::Group, error::copy, guess::Guesses, known::Needs, save::save};

/// Most records and events of one group, and about most bytes, so that what waits in memory is bounded.
const GROUP_WEIGHT: usize = 4000;
const GROUP_BYTES: usize = 32 << 20;

/// How many turns a writer gives to others before it begins a group that is smaller than the one before.
const TURNS: usize = 32;

type Reply = oneshot::Sender<Result<Receipt>>;

struct Job {
    batch: Batch,
    reply: Reply,
}

/// The commits that wait, by namespace. A namespace is here while a task serves it.
pub(super) struct Writers {
    pool: Pool,
    waiting: Mutex<BTreeMap<Namespace, VecDeque<Job>>>,
    guesses: Guesses,
}

impl Writers {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, waiting: Mutex::default(), guesses: Guesses::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Namespace, VecDeque<Job>>> {
        // Nothing that runs under the lock leaves it half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits a batch together with whatever else waits.
    pub(super) async fn commit(this: &Arc<Self>, namespace: &Namespace, batch: Batch) -> Result<Receipt> {
        let (reply, answer) = oneshot::channel();
        let job = Job { batch, reply };
        let leader = match this.lock().entry(namespace.clone()) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push_back(job);
                None
            }
            Entry::Vacant(free) => {
                free.insert(VecDeque::from([job]));
                Some(Leader { writers: Arc::clone(this), namespace: namespace.clone(), served: false })
            }
        };
        if let Some(leader) = leader {
            tokio::spawn(leader.serve());
        }
        answer.await.map_err(|lost| Error::bug("a commit was dropped by its writer").with_source(lost))?
    }
}

/// Serves one namespace until nothing waits.
struct Leader {
    writers: Arc<Writers>,
    namespace: Namespace,
    /// Whether it has ended by itself, and nothing waits for it any more.
    served: bool,
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.served {
            // A panic, or the end of the runtime: who waits hears that nobody will answer, and the next commit starts anew.
            drop(self.writers.lock().remove(&self.namespace));
        }
    }
}

impl Leader {
    async fn serve(mut self) {
        let mut last = 1;
        loop {
            self.gather(last).await;
            let Some(group) = self.next() else { return };
            last = group.len();
            run(&self.writers, &self.namespace, group).await;
        }
    }

    /// Lets those who were answered just now bring what they write next, so that it goes with this group and does not wait for it.
    /// No time passes where they do not: a turn is given to whoever can run.
    async fn gather(&self, last: usize) {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
            if self.writers.lock().get(&self.namespace).is_some_and(|waiting| waiting.len() >= last) {
                return;
            }
        }
    }

    /// Takes what waits, as much as a group may hold; ends the service if nothing does.
    fn next(&mut self) -> Option<Vec<Job>> {
        let mut all = self.writers.lock();
        let waiting = all.get_mut(&self.namespace).filter(|waiting| !waiting.is_empty());
        let Some(waiting) = waiting else {
            all.remove(&self.namespace);
            drop(all);
            self.served = true;
            return None;
        };
        let (mut group, mut weight, mut bytes) = (Vec::new(), 0, 0);
        while weight < GROUP_WEIGHT
            && bytes < GROUP_BYTES
            && let Some(job) = waiting.pop_front()
        {
            weight += 1 + job.batch.writes.len() + job.batch.embeddings.len() + job.batch.events.len();
            bytes += size(&job.batch);
            group.push(job);
        }
        Some(group)
    }
}

/// About how many bytes a batch brings.
fn size(batch: &Batch) -> usize {
    let vector = |embedding: &mnemic_core::Embedding| size_of_val(embedding.components());
    let written = batch.writes.iter().map(|write| write.record.text.len() + write.embedding.as_ref().map_or(0, vector));
    written.sum::<usize>() + batch.embeddings.iter().map(|write| vector(&write.embedding)).sum::<usize>()
}

/// Commits a group and answers it. If nobody waits for any answer of it any more, it is given up, as a call is that was given up.
async fn run(writers: &Writers, namespace: &Namespace, group: Vec<Job>) {
    let (batches, mut replies): (Vec<Batch>, Vec<Reply>) = group.into_iter().map(|job| (job.batch, job.reply)).unzip();
    let given_up = async {
        for reply in &mut replies {
            reply.closed().await;
        }
    };
    let answers = tokio::select! {
        answers = attempt(writers, namespace, &batches) => answers,
        () = given_up => return,
    };
    for (reply, answer) in replies.into_iter().zip(answers) {
        // A caller that is gone does not mind.
        let _gone = reply.send(answer);
    }
}

/// Commits a group. If the server refuses the group for what is in it, each batch is tried by itself, so that none suffers for another.
async fn attempt(writers: &Writers, namespace: &Namespace, batches: &[Batch]) -> Vec<Result<Receipt>> {
    let (answers, failure) = together(writers, namespace, batches).await;
    let of_content = failure.as_ref().is_some_and(|error| error.kind() != ErrorKind::Unavailable);
    if !of_content || batches.len() == 1 {
        return answers;
    }
    let mut single = Vec::with_capacity(batches.len());
    for batch in batches {
        let (answers, _) = together(writers, namespace, std::slice::from_ref(batch)).await;
        single.extend(answers);
    }
    single
}

/// Commits a group in one transaction: an answer for each batch, and why the transaction failed if it did.
async fn together(
    writers: &Writers,
    namespace: &Namespace,
    batches: &[Batch],
) -> (Vec<Result<Receipt>>, Option<Error>) {
    let mut answers = Vec::with_capacity(batches.len());
    let failure = transact(writers, namespace, batches, &mut answers).await.err();
    if let Some(error) = &failure {
        // A refusal stays one; what would have been done was not, or nobody knows. That holds for what repeats it, too.
        answers.resize_with(batches.len(), || Err(copy(error)));
        for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
            *answer = Err(copy(error));
        }
    }
    (answers, failure)
}

async fn transact(
    writers: &Writers,
    namespace: &Namespace,
    batches: &[Batch],
    answers: &mut Vec<Result<Receipt>>,
) -> Result<()> {
    let pool = &writers.pool;
    let mut guess = writers.guesses.take(namespace);
    if let Some(committed) = guess.commit(pool, namespace, batches).await? {
        writers.guesses.keep(namespace, guess);
        *answers = committed;
        return Ok(());
    }
    let mut needs = Needs::default();
    for batch in batches {
        needs.add(batch);
    }
    let (transaction, known) = needs.read(pool, namespace).await?;
    let mut group = Group { known, ..Group::default() };
    answers.extend(batches.iter().map(|batch| group.commit(batch)));
    if group.writes.is_empty() {
        transaction.rollback().await?;
    } else {
        save(transaction, &group.writes, group.known.position).await?;
    }
    guess.learn(group.known, needs.models());
    writers.guesses.keep(namespace, guess);
    Ok(())
}
