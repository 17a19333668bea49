//! Priors: how much a record's salience, confidence and age move its score. Not here: hiding what is expired (`MemoryRecord::is_live`).

use std::time::Duration;

use crate::{MemoryRecord, PriorFactor, Ratio, Timestamp};

/// How far each prior may lower a score: 0 ignores it, 1 lets it bring a score to zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Priors {
    /// The weight of salience.
    pub salience: Ratio,
    /// The weight of confidence.
    pub confidence: Ratio,
    /// The weight of age.
    pub recency: Ratio,
    /// After how long half of the recency is gone.
    pub half_life: Duration,
}

impl Default for Priors {
    /// Gentle: enough to order near ties, too little to lift an unrelated record.
    fn default() -> Self {
        let ratio = |value| Ratio::new("priors", value).unwrap_or(Ratio::HALF);
        Self {
            salience: ratio(0.1),
            confidence: ratio(0.1),
            recency: ratio(0.02),
            half_life: Duration::from_hours(30 * 24),
        }
    }
}

impl Priors {
    /// The factors for a record, each in [0, 1]. A record without salience or confidence is taken as in the middle.
    pub fn factors(&self, record: &MemoryRecord, now: Timestamp) -> Vec<PriorFactor> {
        let factor = |weight: Ratio, value: f64| 1.0 - weight.get() * (1.0 - value);
        let known = |value: Option<Ratio>| value.unwrap_or(Ratio::HALF).get();
        [
            ("salience", self.salience, known(record.salience)),
            ("confidence", self.confidence, known(record.confidence)),
            ("recency", self.recency, remaining(self.half_life, record.updated_at, now)),
        ]
        .into_iter()
        .filter(|(_, weight, _)| weight.get() > 0.0)
        .map(|(name, weight, value)| PriorFactor { name, factor: factor(weight, value) })
        .collect()
    }
}

/// What is left of something after its age, halving every `half_life`: 1 when new, never negative.
pub fn remaining(half_life: Duration, since: Timestamp, now: Timestamp) -> f64 {
    let half_life = half_life.as_secs_f64();
    if half_life > 0.0 { (-since.until(now).as_secs_f64() / half_life).exp2() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordId;

    #[test]
    fn priors_only_lower_and_never_below_their_weight() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let mut record = MemoryRecord::new(RecordId::new("r").unwrap(), "x", "2020-01-01T00:00:00Z".parse().unwrap());
        record.salience = Some(Ratio::new("salience", 0.0).unwrap());
        let priors = Priors::default();
        let product: f64 = priors.factors(&record, now).iter().map(|factor| factor.factor).product();
        assert!(product > 0.8 && product < 1.0, "{product}");
    }

    #[test]
    fn decay_is_monotone_and_halves_at_the_half_life() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let day = Duration::from_hours(24);
        let after = |days: u32| remaining(10 * day, start, start.plus(days * day));
        assert!((after(0) - 1.0).abs() < 1e-12 && (after(10) - 0.5).abs() < 1e-12);
        assert!((0..100).all(|d| after(d + 1) < after(d) && after(d + 1) > 0.0));
        assert!((remaining(10 * day, start.plus(day), start) - 1.0).abs() < 1e-12);
    }
}
