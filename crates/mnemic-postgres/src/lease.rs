//! One connection on loan. It goes back to the pool only when its last transaction is known to have ended.
//! Not here: what is said on it (`transaction`).

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use deadpool_postgres::Object;
use tokio_postgres::{Client, Error};

/// A connection on loan from the pool.
pub(crate) struct Lease {
    object: Option<Object>,
    /// Whether a transaction may be open on it. Then it is closed instead of given back: the server rolls back.
    open: bool,
}

impl Lease {
    pub(crate) fn new(object: Object) -> Self {
        Self { object: Some(object), open: true }
    }

    /// The connection.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.object.as_ref().map(|object| &***object)
    }

    /// The connection's transaction has ended, so it may go back.
    pub(crate) fn ended(mut self) {
        self.open = false;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && self.open
        {
            drop(Object::take(object));
        }
    }
}

/// One message to the server and its answer.
pub(crate) type Said<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Sends every message in order before it waits for any answer, and waits for all of them also when one is an error, so that nothing
/// is left on the way when it returns. (A message is sent when its future is first polled.)
pub(crate) async fn pipeline<T>(mut said: Vec<Said<'_, T>>) -> Vec<Result<T, Error>> {
    let mut answers: Vec<Option<Result<T, Error>>> = said.iter().map(|_| None).collect();
    poll_fn(move |context| {
        let mut waiting = false;
        for (future, answer) in said.iter_mut().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(done) => *answer = Some(done),
                Poll::Pending => waiting = true,
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(answers.drain(..).flatten().collect()) }
    })
    .await
}
