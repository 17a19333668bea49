//! Figures and traces of real calls, and that neither holds what was called with.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use mnemic_core::{Retry, ports::Reranker};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};

use super::*;
use crate::{
    Backend, BreakerConfig, Guarded, Profile, RateConfig, RetryConfig, Times,
    testing::{Answer, Scripted},
};

type Values = Arc<Mutex<BTreeMap<String, f64>>>;

/// Adds up whatever is recorded, by name and labels.
#[derive(Clone, Default)]
struct Sums(Values);

struct Sum(Values, String);

impl Sum {
    fn add(&self, value: f64) {
        *self.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, value: u64) {
        self.add(value as f64);
    }
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.add(value);
    }
    fn decrement(&self, value: f64) {
        self.add(-value);
    }
    fn set(&self, value: f64) {
        self.0.lock().unwrap().insert(self.1.clone(), value);
    }
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        self.add(value);
    }
}

impl Sums {
    fn sum(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Sum(self.0.clone(), format!("{} {}", key.name(), labels.join(" "))))
    }

    fn get(&self, key: &str) -> f64 {
        self.0.lock().unwrap().get(key).copied().unwrap_or_default()
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.sum(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.sum(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.sum(key))
    }
}

/// Writes down every span and event.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.lock().unwrap().push(format!("{}={value:?}", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        self.0.lock().unwrap().push(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("event {}", event.metadata().level()));
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn guarded(profile: Profile, script: Vec<Answer>) -> Guarded<Scripted> {
    Guarded::new(Arc::new(Scripted::new(script)), Backend::new("scripted", profile).with_budget_for_tests())
}

#[tokio::test(start_paused = true)]
async fn every_call_is_counted_once_by_its_outcome_and_timed_with_its_retries() {
    let (sums, lines) = (Sums::default(), Lines::default());
    let (_figures, _traces) =
        (metrics::set_default_local_recorder(&sums), tracing::subscriber::set_default(lines.clone()));
    let named = Answer::Fail(ErrorKind::RateLimited, Retry::After(Duration::from_secs(2)));
    let retry = RetryConfig { tries: 2, base: Duration::ZERO, longest: Duration::ZERO };
    let down = Answer::Fail(ErrorKind::Unavailable, Retry::Soon);
    let breaker = BreakerConfig { failures: 2, rest: Duration::from_secs(5) };
    let profile = Profile::reranker().retrying(Some(retry)).breaking(Some(breaker));
    let guarded = guarded(profile, vec![named, Answer::Succeed, down]);
    guarded.rerank("canary-query", &["canary-text"]).await.unwrap();
    for _ in 0..2 {
        guarded.rerank("canary-query", &["canary-text"]).await.unwrap_err();
    }
    let call = "port=reranker backend=scripted method=rerank";
    assert_eq!(sums.get(&format!("{CALLS} {call} outcome=ok")), 1.0);
    assert_eq!(sums.get(&format!("{CALLS} {call} outcome=unavailable")), 2.0);
    assert_eq!(sums.get(&format!("{SECONDS} {call} outcome=ok")), 2.0);
    assert_eq!(sums.get(&format!("{RETRIES} {call}")), 2.0);
    assert_eq!(sums.get(&format!("{REFUSALS} port=reranker backend=scripted by=breaker")), 1.0);
    assert_eq!(sums.get(&format!("{DOWN} port=reranker backend=scripted")), 1.0);
    let (figures, traces) = (format!("{:?}", sums.0), lines.0.lock().unwrap().join("\n"));
    assert!(!figures.contains("canary") && !traces.contains("canary") && !traces.contains("as told"), "{traces}");
    for said in ["span backend_call", "backend=\"scripted\"", "event WARN", "outcome=\"unavailable\"", "retries=1"] {
        assert!(traces.contains(said), "{said} is not in\n{traces}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_its_caller_gives_up_is_counted_as_abandoned() {
    let sums = Sums::default();
    let _figures = metrics::set_default_local_recorder(&sums);
    let guarded = guarded(Profile::reranker(), vec![Answer::Hang]);
    tokio::time::timeout(Duration::from_secs(1), guarded.rerank("q", &["t"])).await.unwrap_err();
    let call = "port=reranker backend=scripted method=rerank outcome=abandoned";
    assert_eq!((sums.get(&format!("{CALLS} {call}")), sums.get(&format!("{SECONDS} {call}"))), (1.0, 1.0));
}

#[tokio::test(start_paused = true)]
async fn what_the_rate_limit_and_the_budget_refuse_is_counted() {
    let sums = Sums::default();
    let _figures = metrics::set_default_local_recorder(&sums);
    let times = Times { attempt: Duration::from_secs(1), deadline: Duration::from_secs(1) };
    let paced = Profile::reranker().timed(times).limited(RateConfig { requests: Some(1), tokens: None });
    let paced = guarded(paced, vec![Answer::Succeed]);
    paced.rerank("q", &["t"]).await.unwrap();
    paced.rerank("q", &["t"]).await.unwrap_err();
    let down = Arc::new(Scripted::always(Answer::Fail(ErrorKind::Unavailable, Retry::Soon)));
    let poor = Guarded::new(down, Backend::new("scripted", Profile::reranker()));
    poor.rerank("q", &["t"]).await.unwrap_err();
    for by in ["rate", "budget"] {
        assert_eq!(sums.get(&format!("{REFUSALS} port=reranker backend=scripted by={by}")), 1.0, "{by}");
    }
}
