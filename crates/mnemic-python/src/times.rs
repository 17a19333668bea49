//! Instants as Python's. Not here: reading those that Python gives (`mnemic._times`).

use mnemic::Timestamp;
use pyo3::{exceptions::PyValueError, prelude::*, sync::PyOnceLock};

/// `datetime.datetime` and `datetime.UTC`.
struct Classes {
    datetime: Py<PyAny>,
    utc: Py<PyAny>,
}

/// Makes aware `datetime`s. The times of one record are mostly the same one, which is made once.
pub(crate) struct Times<'py> {
    datetime: Bound<'py, PyAny>,
    utc: Bound<'py, PyAny>,
    last: Option<(Timestamp, Bound<'py, PyAny>)>,
}

impl<'py> Times<'py> {
    pub(crate) fn new(py: Python<'py>) -> PyResult<Self> {
        static CLASSES: PyOnceLock<Classes> = PyOnceLock::new();
        let classes = CLASSES.get_or_try_init(py, || {
            let module = py.import("datetime")?;
            let (datetime, utc) = (module.getattr("datetime")?.unbind(), module.getattr("UTC")?.unbind());
            Ok::<_, PyErr>(Classes { datetime, utc })
        })?;
        Ok(Self { datetime: classes.datetime.bind(py).clone(), utc: classes.utc.bind(py).clone(), last: None })
    }

    /// The instant.
    ///
    /// # Errors
    /// `ValueError` before the year 1, which Python's calendar lacks.
    pub(crate) fn of(&mut self, at: Timestamp) -> PyResult<Bound<'py, PyAny>> {
        if let Some((last, made)) = &self.last
            && *last == at
        {
            return Ok(made.clone());
        }
        let instant = jiff::Timestamp::from_microsecond(at.as_micros());
        let civil =
            jiff::tz::Offset::UTC.to_datetime(instant.map_err(|error| PyValueError::new_err(error.to_string()))?);
        let day = (civil.year(), civil.month(), civil.day());
        let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
        let micros = civil.subsec_nanosecond() / 1000;
        let made = self.datetime.call1((day.0, day.1, day.2, hour, minute, second, micros, &self.utc))?;
        self.last = Some((at, made.clone()));
        Ok(made)
    }
}
