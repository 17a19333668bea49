//! What makes a stand-in behave badly, changeable while it runs. Not here: the badness of one vendor (its own module).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// One way for a request to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This answer instead of the right one. The request changes nothing.
    Answer {
        /// The status.
        status: u16,
        /// The value of `Retry-After`, if there is one.
        retry_after: Option<String>,
        /// The value of `Content-Type`.
        content_type: &'static str,
        /// The body.
        body: String,
    },
    /// The request takes effect, and its answer breaks off in the middle.
    Truncated,
    /// The request takes effect, and its answer comes in eight pieces this far apart.
    Slow(Duration),
    /// The connection is reset before the request takes effect.
    Reset,
    /// The request takes effect, and the connection is reset before the answer.
    LostAnswer,
    /// The request takes effect, and is then taken once more as if a proxy had repeated it; the second answer is given.
    Repeated,
    /// Nothing is wrong; for sequences in which only a later request fails.
    Fine,
}

impl Fault {
    /// A status with a JSON body.
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self::Answer { status, retry_after: None, content_type: "application/json", body: body.into() }
    }

    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, retry_after: None, content_type: "text/plain", body: String::new() }
    }

    /// 429 with `Retry-After` as given.
    pub fn slow_down(retry_after: impl Into<String>) -> Self {
        Self::status(429).waiting(retry_after)
    }

    /// The page that a gateway shows when the service behind it is gone.
    pub fn html_bad_gateway() -> Self {
        let body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n\
                    <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
        Self::Answer { status: 502, retry_after: None, content_type: "text/html", body: body.to_owned() }
    }

    /// A refusal in plain text.
    pub fn plain_unauthorized(body: impl Into<String>) -> Self {
        Self::Answer { status: 401, retry_after: None, content_type: "text/plain", body: body.into() }
    }

    /// The same answer with a `Retry-After`; other faults stay as they are.
    #[must_use]
    pub fn waiting(mut self, value: impl Into<String>) -> Self {
        if let Self::Answer { retry_after, .. } = &mut self {
            *retry_after = Some(value.into());
        }
        self
    }
}

/// The knobs of one stand-in. Clones turn the same knobs.
#[derive(Clone, Debug, Default)]
pub struct Knobs(Arc<Mutex<Set>>);

#[derive(Debug, Default)]
struct Set {
    delay: Duration,
    next: VecDeque<(Option<String>, Fault)>,
    always: Vec<(Option<String>, Fault)>,
}

impl Knobs {
    /// No knob turned.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every request waits this long before it takes effect.
    pub fn delay(&self, delay: Duration) -> &Self {
        self.set().delay = delay;
        self
    }

    /// The next requests go wrong like this, one fault each, after those already waiting.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) -> &Self {
        self.set().next.extend(faults.into_iter().map(|fault| (None, fault)));
        self
    }

    /// The next request whose path contains `part` goes wrong like this.
    pub fn next_on(&self, part: impl Into<String>, fault: Fault) -> &Self {
        self.set().next.push_back((Some(part.into()), fault));
        self
    }

    /// Every request whose path contains `part` goes wrong like this, until [`Self::clear`].
    pub fn always_on(&self, part: impl Into<String>, fault: Fault) -> &Self {
        self.set().always.push((Some(part.into()), fault));
        self
    }

    /// Nothing is slow or goes wrong any more.
    pub fn clear(&self) -> &Self {
        *self.set() = Set::default();
        self
    }

    /// How many faults still wait for a request.
    pub fn waiting(&self) -> usize {
        self.set().next.len()
    }

    /// The delay and the fault of a request to `path`; takes the fault away.
    pub(crate) fn draw(&self, path: &str) -> (Duration, Option<Fault>) {
        let mut set = self.set();
        let meant = |part: &Option<String>| part.as_ref().is_none_or(|part| path.contains(part.as_str()));
        let found = set.next.iter().position(|(part, _)| meant(part));
        let fault = found.and_then(|at| set.next.remove(at)).map(|(_, fault)| fault);
        let fault = fault.or_else(|| set.always.iter().find(|(part, _)| meant(part)).map(|(_, fault)| fault.clone()));
        (set.delay, fault.filter(|fault| *fault != Fault::Fine))
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_drawn_in_order_by_the_requests_that_they_are_meant_for() {
        let knobs = Knobs::new();
        knobs.next([Fault::Fine, Fault::Reset]).next_on("/b", Fault::Truncated).always_on("/c", Fault::LostAnswer);
        assert_eq!(knobs.draw("/a").1, None);
        assert_eq!(knobs.draw("/a").1, Some(Fault::Reset));
        assert_eq!(knobs.draw("/a").1, None, "the next fault is for another path");
        assert_eq!(knobs.draw("/x/b").1, Some(Fault::Truncated));
        assert_eq!((knobs.draw("/c").1, knobs.draw("/c").1), (Some(Fault::LostAnswer), Some(Fault::LostAnswer)));
        knobs.clear().delay(Duration::from_millis(5));
        assert_eq!(knobs.draw("/c"), (Duration::from_millis(5), None));
    }
}
