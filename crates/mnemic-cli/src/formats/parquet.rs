//! Tables in Parquet files. Not here: what the columns mean (`table`).

use std::{fs::File, path::Path};

use mnemic::{Digest, Error, Number, Object, Result, Timestamp, Value};
use parquet::{
    errors::ParquetError,
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    record::{Field, Row as Columns, reader::RowIter},
};

use super::{
    Fault, Format,
    guarded::guarded,
    open::{Wanted, file_name},
    rows::{About, Row, Rows},
    sqlite,
    table::Shape,
};
use crate::exit;

/// What every Parquet file begins with.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// The rows of a file.
pub(super) struct ParquetRows {
    /// None once it cannot be read on.
    rows: Option<RowIter<'static>>,
    shape: Shape,
    number: u64,
    digest: Option<Digest>,
}

impl ParquetRows {
    /// Reads the schema.
    pub(super) fn new(file: File, place: &Path, wanted: Wanted) -> exit::Result<Self> {
        let opened = guarded(|| SerializedFileReader::new(file)).ok_or_else(damaged)?;
        let reader = opened.map_err(|error| fault(&error))?;
        let schema = reader.metadata().file_metadata().schema();
        let columns: Vec<String> = schema.get_fields().iter().map(|field| field.name().to_owned()).collect();
        let shape = Shape::of(&columns, &wanted.columns, ("parquet", file_name(place)), wanted.defaults)?;
        let digest = sqlite::digest(place).ok();
        let rows = guarded(|| RowIter::from_file_into(Box::new(reader))).ok_or_else(damaged)?;
        Ok(Self { rows: Some(rows), shape, number: 0, digest })
    }

    fn read(&self, row: Columns) -> Result<Vec<super::Item>> {
        let values = row.into_columns().into_iter().map(|(name, field)| value(&name, field));
        Ok(vec![self.shape.read(values.collect::<Result<_>>()?)?])
    }
}

impl Rows for ParquetRows {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        let Some(mut rows) = self.rows.take() else { return Ok(None) };
        let Some(row) = guarded(|| rows.next()).ok_or_else(damaged)? else { return Ok(None) };
        self.number += 1;
        // What follows a page that cannot be read cannot be found.
        let row = row.map_err(|error| fault(&error))?;
        self.rows = Some(rows);
        let read = self.read(row).map_err(Fault::Line);
        Ok(Some(Row { number: self.number, bytes: 1024, read }))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn about(&self) -> About {
        About { format: Some(Format::Parquet), digest: self.digest }
    }
}

fn damaged() -> Error {
    Error::invalid("file", "a Parquet file that can be read", "a damaged one")
}

fn fault(error: &ParquetError) -> Error {
    Error::invalid("file", "a Parquet file that can be read", format!("a fault ({error})"))
}

fn value(name: &str, field: Field) -> Result<Value> {
    let number = |value: f64| {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| Error::invalid(name, "a finite number", value))
    };
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => i64::from(value).into(),
        Field::Short(value) => i64::from(value).into(),
        Field::Int(value) => i64::from(value).into(),
        Field::Long(value) => value.into(),
        Field::UByte(value) => i64::from(value).into(),
        Field::UShort(value) => i64::from(value).into(),
        Field::UInt(value) => i64::from(value).into(),
        Field::ULong(value) => value.into(),
        Field::Float16(value) => number(f64::from(value.to_f32()))?,
        Field::Float(value) => number(f64::from(value))?,
        Field::Double(value) => number(value)?,
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => bytes
            .as_utf8()
            .map_err(|_refused| Error::invalid(name, "text", format!("{} bytes that are none", bytes.len())))?
            .into(),
        Field::TimestampMillis(millis) => time(name, millis.checked_mul(1000))?,
        Field::TimestampMicros(micros) => time(name, Some(micros))?,
        field @ (Field::Decimal(_) | Field::Date(_) | Field::TimeMillis(_) | Field::TimeMicros(_)) => {
            field.to_string().into()
        }
        Field::Group(group) => object(group)?.into(),
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().map(|item| value(name, item.clone())).collect::<Result<_>>()?)
        }
        Field::MapInternal(map) => {
            let key = |(key, held): &(Field, Field)| match key {
                Field::Str(key) => Ok((key.clone(), value(name, held.clone())?)),
                other => Err(Error::invalid(name, "a map whose keys are texts", other)),
            };
            Value::Object(map.entries().iter().map(key).collect::<Result<_>>()?)
        }
    })
}

fn object(group: Columns) -> Result<Object> {
    group.into_columns().into_iter().map(|(name, field)| Ok((name.clone(), value(&name, field)?))).collect()
}

fn time(name: &str, micros: Option<i64>) -> Result<Value> {
    let at = micros.and_then(|micros| Timestamp::from_micros(micros).ok());
    at.map(|at| Value::from(at.to_string())).ok_or_else(|| Error::invalid(name, "a time", "one beyond the calendar"))
}
