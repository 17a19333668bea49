//! Answers that hold records, as Python's models. Their fields are set and not validated, as unpickling does: what the memory answers
//! is valid, and validation took longer than finding it. Not here: the models (`python/mnemic/models.py`), other answers (`mnemic::wire`).

use mnemic::{
    EventId, Explanation, Hit, Leg, LegOutcome, LegReport, LegScore, MemoryRecord, Object, Page, PriorFactor,
    Provenance, Ratio, RecordId, Retrieval, ThreadId, Timestamp, UserId, Value,
};
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyFloat, PyList, PyNone, PySet, PyString},
};

use crate::times::Times;

/// A model: its class, and an instance's state before anything is known of it.
struct Model {
    class: Py<PyAny>,
    /// Every field with its default, in the order of the class.
    fields: Py<PyDict>,
    /// Which fields are given; the rest have defaults.
    given: Py<PySet>,
}

impl Model {
    /// `always` are the fields that every answer gives.
    fn of(module: &Bound<'_, PyModule>, class: &str, always: &[&str]) -> PyResult<Self> {
        let py = module.py();
        let class = module.getattr(class)?;
        let nothing = PyDict::new(py);
        for field in always {
            nothing.set_item(field, py.None())?;
        }
        let blank = class.call_method("model_construct", (), Some(&nothing))?;
        Ok(Self {
            fields: blank.getattr("__dict__")?.cast_into::<PyDict>()?.unbind(),
            given: PySet::new(py, always)?.unbind(),
            class: class.unbind(),
        })
    }
}

/// The models, and what instances are made with.
struct Models {
    record: Model,
    retrieved: Model,
    provenance: Model,
    explanation: Model,
    score: Model,
    factor: Model,
    report: Model,
    /// `Retrieval`.
    retrieval: Py<PyAny>,
    /// `object.__new__`
    make: Py<PyAny>,
    /// `object.__setattr__`: that of a model validates.
    set: Py<PyAny>,
}

/// What every record has.
const OF_RECORD: &[&str] =
    &["id", "type", "text", "path", "tags", "metadata", "source", "created_at", "updated_at", "valid_from", "version"];

impl Models {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        static MODELS: PyOnceLock<Models> = PyOnceLock::new();
        MODELS.get_or_try_init(py, || {
            let module = py.import("mnemic.models")?;
            let object = py.import("builtins")?.getattr("object")?;
            let found = [OF_RECORD, &["confidence", "score", "explanation"]].concat();
            Ok(Self {
                record: Model::of(&module, "MemoryRecord", OF_RECORD)?,
                retrieved: Model::of(&module, "RetrievedRecord", &found)?,
                provenance: Model::of(&module, "Provenance", &["events", "records"])?,
                explanation: Model::of(&module, "Explanation", &["legs", "priors"])?,
                score: Model::of(&module, "LegScore", &["leg", "rank"])?,
                factor: Model::of(&module, "PriorFactor", &["name"])?,
                report: Model::of(&module, "LegReport", &["leg", "index", "outcome", "took_us"])?,
                retrieval: module.getattr("Retrieval")?.unbind(),
                make: object.getattr("__new__")?.unbind(),
                set: object.getattr("__setattr__")?.unbind(),
            })
        })
    }
}

/// An instance that is being filled.
struct Instance<'a, 'py> {
    model: &'a Model,
    fields: Bound<'py, PyDict>,
    given: Option<Bound<'py, PySet>>,
}

impl<'a, 'py> Instance<'a, 'py> {
    fn of(py: Python<'py>, model: &'a Model) -> PyResult<Self> {
        Ok(Self { model, fields: model.fields.bind(py).copy()?, given: None })
    }

    /// Sets a field that every instance has.
    fn put(&self, field: &Bound<'py, PyString>, value: impl IntoPyObject<'py>) -> PyResult<()> {
        self.fields.set_item(field, value)
    }

    /// Sets a field that not every instance has.
    fn give(&mut self, field: &Bound<'py, PyString>, value: Option<impl IntoPyObject<'py>>) -> PyResult<()> {
        let Some(value) = value else { return Ok(()) };
        self.fields.set_item(field, value)?;
        self.given()?.add(field)
    }

    /// The instance's own set of what is given.
    fn given(&mut self) -> PyResult<&Bound<'py, PySet>> {
        if self.given.is_none() {
            let py = self.fields.py();
            let own = self.model.given.bind(py).call_method0(intern!(py, "copy"))?;
            self.given = Some(own.cast_into::<PySet>()?);
        }
        self.given.as_ref().ok_or_else(|| pyo3::exceptions::PySystemError::new_err("a set that was made is gone"))
    }

    fn done(mut self, with: &Models) -> PyResult<Bound<'py, PyAny>> {
        let py = self.fields.py();
        let given = self.given()?.clone();
        let instance = with.make.bind(py).call1((self.model.class.bind(py),))?;
        let set = with.set.bind(py);
        set.call1((&instance, intern!(py, "__dict__"), self.fields))?;
        set.call1((&instance, intern!(py, "__pydantic_fields_set__"), given))?;
        set.call1((&instance, intern!(py, "__pydantic_extra__"), PyNone::get(py)))?;
        set.call1((&instance, intern!(py, "__pydantic_private__"), PyNone::get(py)))?;
        Ok(instance)
    }
}

/// Makes the objects of one answer.
struct Maker<'py> {
    py: Python<'py>,
    models: &'py Models,
    times: Times<'py>,
}

/// What a retrieval found: a `Retrieval`.
pub(crate) fn retrieval<'py>(py: Python<'py>, found: &Retrieval) -> PyResult<Bound<'py, PyAny>> {
    let mut maker = Maker::new(py)?;
    let Retrieval { hits, legs, degraded, stale, took } = found;
    let records = PyList::empty(py);
    for hit in hits {
        records.append(maker.hit(hit)?)?;
    }
    let reports = PyList::empty(py);
    for leg in legs {
        reports.append(maker.report(leg)?)?;
    }
    let how = PyDict::new(py);
    how.set_item(intern!(py, "legs"), reports)?;
    how.set_item(intern!(py, "degraded"), degraded)?;
    how.set_item(intern!(py, "stale"), stale)?;
    how.set_item(intern!(py, "took_us"), took.as_micros())?;
    maker.models.retrieval.bind(py).call((records,), Some(&how))
}

/// A page of a listing: its records, and the cursor of the next if there is one.
pub(crate) fn page<'py>(py: Python<'py>, page: &Page<MemoryRecord>) -> PyResult<Bound<'py, PyAny>> {
    let mut maker = Maker::new(py)?;
    let records = PyList::empty(py);
    for record in &page.items {
        records.append(maker.record(record)?)?;
    }
    Ok((records, page.next.as_ref().map(|cursor| &cursor.0)).into_pyobject(py)?.into_any())
}

/// A list of records, and `None` where there is none.
pub(crate) fn records<'py>(py: Python<'py>, records: &[Option<MemoryRecord>]) -> PyResult<Bound<'py, PyAny>> {
    let mut maker = Maker::new(py)?;
    let made = PyList::empty(py);
    for record in records {
        made.append(record.as_ref().map(|record| maker.record(record)).transpose()?)?;
    }
    Ok(made.into_any())
}

impl<'py> Maker<'py> {
    fn new(py: Python<'py>) -> PyResult<Self> {
        Ok(Self { py, models: Models::get(py)?, times: Times::new(py)? })
    }

    fn record(&mut self, record: &MemoryRecord) -> PyResult<Bound<'py, PyAny>> {
        let mut made = Instance::of(self.py, &self.models.record)?;
        self.fill(&mut made, record)?;
        made.give(intern!(self.py, "confidence"), record.confidence.map(Ratio::get))?;
        made.done(self.models)
    }

    /// Sets everything of a record but its confidence, which a found one has even where none is stored.
    fn fill(&mut self, made: &mut Instance<'_, 'py>, record: &MemoryRecord) -> PyResult<()> {
        let py = self.py;
        made.put(intern!(py, "id"), record.id.as_str())?;
        made.give(intern!(py, "user_id"), record.user_id.as_ref().map(UserId::as_str))?;
        made.give(intern!(py, "thread_id"), record.thread_id.as_ref().map(ThreadId::as_str))?;
        made.put(intern!(py, "type"), record.kind.as_str())?;
        made.put(intern!(py, "text"), &record.text)?;
        made.put(intern!(py, "path"), &record.path)?;
        let tags = PyList::empty(py);
        for tag in &record.tags {
            tags.append(tag)?;
        }
        made.put(intern!(py, "tags"), tags)?;
        made.put(intern!(py, "metadata"), object(py, &record.metadata)?)?;
        made.put(intern!(py, "source"), &record.source)?;
        made.give(intern!(py, "salience"), record.salience.map(Ratio::get))?;
        made.put(intern!(py, "created_at"), self.times.of(record.created_at)?)?;
        made.put(intern!(py, "updated_at"), self.times.of(record.updated_at)?)?;
        made.put(intern!(py, "valid_from"), self.times.of(record.valid_from)?)?;
        made.give(intern!(py, "valid_to"), self.time(record.valid_to)?)?;
        made.give(intern!(py, "expires_at"), self.time(record.expires_at)?)?;
        made.give(intern!(py, "superseded_by"), record.superseded_by.as_ref().map(RecordId::as_str))?;
        if !record.provenance.is_empty() {
            made.give(intern!(py, "provenance"), Some(self.provenance(&record.provenance)?))?;
        }
        made.put(intern!(py, "version"), record.version.0)
    }

    fn time(&mut self, at: Option<Timestamp>) -> PyResult<Option<Bound<'py, PyAny>>> {
        at.map(|at| self.times.of(at)).transpose()
    }

    fn provenance(&self, provenance: &Provenance) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let made = Instance::of(py, &self.models.provenance)?;
        let events: Vec<&str> = provenance.events.iter().map(EventId::as_str).collect();
        let records: Vec<&str> = provenance.records.iter().map(RecordId::as_str).collect();
        made.put(intern!(py, "events"), events)?;
        made.put(intern!(py, "records"), records)?;
        made.done(self.models)
    }

    /// A `RetrievedRecord`.
    fn hit(&mut self, hit: &Hit) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let Hit { record, score, explanation } = hit;
        let dense = explanation.legs.iter().find(|score| score.leg == Leg::Dense);
        let similarity = dense.and_then(|dense| shortest(dense.raw));
        let mut made = Instance::of(py, &self.models.retrieved)?;
        self.fill(&mut made, record)?;
        made.put(intern!(py, "score"), score)?;
        made.give(intern!(py, "similarity"), similarity)?;
        made.give(intern!(py, "stored_confidence"), record.confidence.map(Ratio::get))?;
        // As `likeness` of the models.
        let likeness = || similarity.unwrap_or(*score).clamp(0.0, 1.0);
        made.put(intern!(py, "confidence"), record.confidence.map_or_else(likeness, Ratio::get))?;
        made.put(intern!(py, "explanation"), self.explanation(explanation)?)?;
        made.done(self.models)
    }

    fn explanation(&self, explanation: &Explanation) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let Explanation { legs, fused, priors, rerank, repeats } = explanation;
        let mut made = Instance::of(py, &self.models.explanation)?;
        let scores = PyList::empty(py);
        for leg in legs {
            scores.append(self.score(leg)?)?;
        }
        made.put(intern!(py, "legs"), scores)?;
        made.give(intern!(py, "fused"), finite(*fused))?;
        let factors = PyList::empty(py);
        for prior in priors {
            factors.append(self.factor(prior)?)?;
        }
        made.put(intern!(py, "priors"), factors)?;
        made.give(intern!(py, "rerank"), rerank.and_then(shortest))?;
        made.give(intern!(py, "repeats"), repeats.as_ref().map(RecordId::as_str))?;
        made.done(self.models)
    }

    fn score(&self, score: &LegScore) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let LegScore { leg, rank, raw, contribution } = score;
        let mut made = Instance::of(py, &self.models.score)?;
        made.put(intern!(py, "leg"), leg.as_str())?;
        made.put(intern!(py, "rank"), rank)?;
        made.give(intern!(py, "raw"), shortest(*raw))?;
        made.give(intern!(py, "contribution"), finite(*contribution))?;
        made.done(self.models)
    }

    fn factor(&self, prior: &PriorFactor) -> PyResult<Bound<'py, PyAny>> {
        let mut made = Instance::of(self.py, &self.models.factor)?;
        made.put(intern!(self.py, "name"), prior.name)?;
        made.give(intern!(self.py, "factor"), finite(prior.factor))?;
        made.done(self.models)
    }

    fn report(&self, report: &LegReport) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let mut made = Instance::of(py, &self.models.report)?;
        made.put(intern!(py, "leg"), report.leg.as_str())?;
        made.put(intern!(py, "index"), report.index)?;
        let (outcome, found, reason) = match &report.outcome {
            LegOutcome::Ran { found } => ("ran", Some(*found), None),
            LegOutcome::Skipped(why) => ("skipped", None, Some(why)),
            LegOutcome::Failed(why) => ("failed", None, Some(why)),
        };
        made.put(intern!(py, "outcome"), outcome)?;
        made.give(intern!(py, "found"), found)?;
        made.give(intern!(py, "reason"), reason)?;
        made.put(intern!(py, "took_us"), report.took.as_micros())?;
        made.done(self.models)
    }
}

/// A number that JSON has.
fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

/// The shortest number that is the same in single precision, as everywhere where it is written in digits.
fn shortest(number: f32) -> Option<f64> {
    if number.is_finite() { number.to_string().parse().ok() } else { None }
}

/// An object of a caller's.
fn object<'py>(py: Python<'py>, object: &Object) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    for (key, value) in object {
        made.set_item(key, any(py, value)?)?;
    }
    Ok(made)
}

fn any<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => flag.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.into_pyobject(py)?.into_any(),
            (None, Some(integer)) => integer.into_pyobject(py)?.into_any(),
            (None, None) => PyFloat::new(py, number.as_f64()).into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(items) => {
            let made = PyList::empty(py);
            for item in items {
                made.append(any(py, item)?)?;
            }
            made.into_any()
        }
        Value::Object(entries) => object(py, entries)?.into_any(),
    })
}
