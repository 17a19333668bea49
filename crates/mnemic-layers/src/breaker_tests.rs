//! The breaker against a model of what it promises, and through a guarded backend.

use mnemic_core::ports::Reranker;
use proptest::prelude::*;

use super::*;
use crate::{
    Backend, Guarded, Profile,
    testing::{Answer, Scripted},
};

const DOWN: Answer = Answer::Fail(ErrorKind::Unavailable, Retry::Soon);

fn config(failures: u32) -> BreakerConfig {
    BreakerConfig { failures, rest: Duration::from_secs(5) }
}

fn guarded(answers: Vec<Answer>) -> (Arc<Scripted>, Guarded<Scripted>) {
    let scripted = Arc::new(Scripted::new(answers));
    let profile = Profile::reranker().retrying(None).breaking(Some(config(3)));
    (scripted.clone(), Guarded::new(scripted, Backend::new("test", profile)))
}

#[tokio::test(start_paused = true)]
async fn it_opens_after_the_failures_refuses_at_no_cost_probes_singly_and_closes_after_recovery() {
    let (scripted, guarded) = guarded(vec![DOWN, DOWN, DOWN, DOWN, Answer::Succeed]);
    let status = || guarded.backend().status().breaker.unwrap();
    for _ in 0..3 {
        guarded.rerank("q", &["t"]).await.unwrap_err();
    }
    assert_eq!((status().state, status().down_for), (BreakerState::Open, Some(Duration::ZERO)));
    assert_eq!(status().why.unwrap().0, ErrorKind::Unavailable);
    let start = Instant::now();
    let error = guarded.rerank("q", &["t"]).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::After(Duration::from_secs(5))));
    assert_eq!((scripted.calls(), start.elapsed(), status().refused), (3, Duration::ZERO, 1));

    tokio::time::advance(Duration::from_secs(5)).await;
    guarded.rerank("q", &["t"]).await.unwrap_err();
    assert_eq!((scripted.calls(), status().state), (4, BreakerState::Open), "a failed probe opens it again");
    assert_eq!(status().down_for, Some(Duration::from_secs(5)), "it remembers since when");

    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(status().state, BreakerState::Probing);
    guarded.rerank("q", &["t"]).await.unwrap();
    assert_eq!((status().state, status().why, status().down_for), (BreakerState::Closed, None, None));
    guarded.rerank("q", &["t"]).await.unwrap();
    assert_eq!(scripted.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn while_a_probe_is_on_its_way_every_other_call_is_refused() {
    let (scripted, guarded) = guarded(vec![DOWN, DOWN, DOWN, Answer::Slow(Duration::from_secs(2)), Answer::Succeed]);
    for _ in 0..3 {
        guarded.rerank("q", &["t"]).await.unwrap_err();
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    let guarded = Arc::new(guarded);
    let probe = tokio::spawn({
        let guarded = guarded.clone();
        async move { guarded.rerank("q", &["t"]).await }
    });
    tokio::task::yield_now().await;
    for _ in 0..20 {
        assert!(matches!(guarded.rerank("q", &["t"]).await.unwrap_err().retry(), Retry::After(_)));
    }
    assert_eq!(scripted.calls(), 4);
    probe.await.unwrap().unwrap();
    assert!(guarded.rerank("q", &["t"]).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_its_caller_gives_up_leaves_the_question_to_the_next_call() {
    let (scripted, guarded) = guarded(vec![DOWN, DOWN, DOWN, Answer::Hang, Answer::Succeed]);
    for _ in 0..3 {
        guarded.rerank("q", &["t"]).await.unwrap_err();
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    tokio::time::timeout(Duration::from_millis(10), guarded.rerank("q", &["t"])).await.unwrap_err();
    guarded.rerank("q", &["t"]).await.unwrap();
    assert_eq!(scripted.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn errors_that_say_nothing_about_the_backend_never_open_it_and_never_close_it() {
    for kind in ErrorKind::ALL.into_iter().filter(|kind| *kind != ErrorKind::Unavailable) {
        let (scripted, guarded) = guarded(vec![Answer::Fail(kind, Retry::Never)]);
        for _ in 0..50 {
            assert_eq!(guarded.rerank("q", &["t"]).await.unwrap_err().kind(), kind);
        }
        assert_eq!(scripted.calls(), 50, "{kind}");
    }
    let invalid = Answer::Fail(ErrorKind::InvalidInput, Retry::Never);
    let (_, guarded) = guarded(vec![DOWN, invalid, DOWN, invalid, DOWN, invalid]);
    for _ in 0..5 {
        guarded.rerank("q", &["t"]).await.unwrap_err();
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(guarded.rerank("q", &["t"]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_ne!(guarded.backend().status().breaker.unwrap().state, BreakerState::Closed);
}

/// One thing that happens to a breaker.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A call begins.
    Begin,
    /// The oldest call on its way ends.
    End(Evidence),
    /// Milliseconds go by.
    Pass(u64),
}

/// What it promises, in the plainest words: a list of the calls on their way, and three facts.
#[derive(Default)]
struct Model {
    now: u64,
    /// Each call with the count of openings and closings before it.
    calls: std::collections::VecDeque<(u64, bool)>,
    turns: u64,
    down_in_a_row: u32,
    open_until: Option<u64>,
    probe_out: bool,
}

impl Model {
    fn lets_through(&self) -> bool {
        !self.probe_out && self.open_until.is_none_or(|until| until <= self.now)
    }

    fn begin(&mut self) {
        let probe = self.open_until.is_some();
        if probe {
            (self.probe_out, self.turns) = (true, self.turns + 1);
        }
        self.calls.push_back((self.turns, probe));
    }

    fn end(&mut self, evidence: Evidence) {
        let Some((turn, probe)) = self.calls.pop_front() else { return };
        if turn != self.turns {
            return;
        }
        match evidence {
            Evidence::Up => {
                self.down_in_a_row = 0;
                if probe {
                    (self.open_until, self.probe_out, self.turns) = (None, false, self.turns + 1);
                }
            }
            Evidence::Down => {
                self.down_in_a_row += 1;
                if probe || self.down_in_a_row == 3 {
                    (self.open_until, self.probe_out, self.turns) = (Some(self.now + 5_000), false, self.turns + 1);
                }
            }
            Evidence::None if probe => {
                (self.open_until, self.probe_out, self.turns) = (Some(self.now), false, self.turns + 1);
            }
            Evidence::None => {}
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let evidence = prop_oneof![3 => Just(Evidence::Down), 1 => Just(Evidence::Up), 1 => Just(Evidence::None)];
    prop_oneof![4 => Just(Event::Begin), 4 => evidence.prop_map(Event::End), 1 => (0u64..7_000).prop_map(Event::Pass)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_does_what_the_model_does(events in prop::collection::vec(event(), 1..120)) {
        let start = Instant::now();
        let (breaker, mut model) = (Breaker::new("test", config(3)), Model::default());
        let mut eras = std::collections::VecDeque::new();
        for event in events {
            let now = start + Duration::from_millis(model.now);
            let mut machine = breaker.machine();
            match event {
                Event::Pass(millis) => model.now += millis,
                Event::Begin => {
                    prop_assert_eq!(!machine.would_refuse(now), model.lets_through());
                    let entered = machine.enter(now);
                    prop_assert_eq!(entered.is_ok(), model.lets_through());
                    if entered.is_ok() {
                        eras.push_back(machine.era);
                        model.begin();
                    }
                }
                Event::End(evidence) => {
                    if let Some(era) = eras.pop_front() {
                        machine.settle(now, era, evidence);
                    }
                    model.end(evidence);
                }
            }
            prop_assert_eq!(machine.state == State::Closed, model.open_until.is_none());
        }
    }
}
