//! Tables as text: CSV with commas, semicolons or tabs, a header first. Not here: what the columns mean (`table`).

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use mnemic::{Error, Result, Value};

use super::{
    Fault, Format,
    lines::Counted,
    open::{Wanted, file_name},
    rows::{About, Row, Rows},
    table::Shape,
};
use crate::exit::{self, Failure};

/// What may stand between two cells.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
/// Bytes of one row. The largest record that memory holds stays below this, quoted and with its embedding.
const ROW_BYTES: usize = 4 * 1024 * 1024;

/// The rows of a file.
pub(super) struct CsvRows<R: Read> {
    reader: Reader<BufReader<Counted<R>>>,
    shape: Shape,
    record: ByteRecord,
    /// Rows so far, the header being the first.
    number: u64,
}

impl<R: Read + Send> CsvRows<R> {
    /// Reads the header.
    pub(super) fn new(source: R, place: &Path, wanted: Wanted) -> exit::Result<Self> {
        let mut source = BufReader::with_capacity(64 * 1024, Counted::new(source));
        let start = source.fill_buf().map_err(|error| Failure::io("read", place, &error))?;
        let delimiter = delimiter(start);
        let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(source);
        let header = reader.byte_headers().map_err(|error| Failure::from(header_fault(&error)))?;
        let names: Result<Vec<String>> = header.iter().map(|name| text("column", name)).collect();
        let mut names = names?;
        if let Some(first) = names.first_mut() {
            *first = first.trim_start_matches('\u{feff}').to_owned();
        }
        let shape = Shape::of(&names, &wanted.columns, ("csv", file_name(place)), wanted.defaults)?;
        Ok(Self { reader, shape, record: ByteRecord::new(), number: 1 })
    }

    fn read(&self) -> Result<Vec<super::Item>> {
        if self.record.as_slice().len() > ROW_BYTES {
            let found = format!("{} bytes", self.record.as_slice().len());
            return Err(Error::invalid("row", format!("at most {ROW_BYTES} bytes"), found));
        }
        let cells: Result<Vec<Value>> = self.record.iter().map(cell).collect();
        Ok(vec![self.shape.read(cells?)?])
    }
}

impl<R: Read + Send> Rows for CsvRows<R> {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        let read = match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => return Ok(None),
            Ok(true) => self.read().map_err(Fault::Line),
            Err(error) => match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    let expected = format!("{expected_len} cells as in the header");
                    Err(Fault::Line(Error::invalid("row", expected, len)))
                }
                _ => return Err(Failure::other(format!("cannot read on: {error}"))),
            },
        };
        self.number += 1;
        Ok(Some(Row { number: self.number, bytes: self.record.as_slice().len(), read }))
    }

    fn position(&self) -> u64 {
        self.reader.get_ref().get_ref().count()
    }

    fn about(&self) -> About {
        About { format: Some(Format::Csv), digest: Some(self.reader.get_ref().get_ref().digest()) }
    }
}

/// An empty cell says nothing.
fn cell(bytes: &[u8]) -> Result<Value> {
    if bytes.is_empty() { Ok(Value::Null) } else { text("row", bytes).map(Value::String) }
}

fn text(field: &str, bytes: &[u8]) -> Result<String> {
    let refused = |source: std::str::Utf8Error| {
        let found = format!("other bytes at byte {} of a cell", source.valid_up_to());
        Error::invalid(field, "UTF-8", found).with_source(source)
    };
    std::str::from_utf8(bytes).map(str::to_owned).map_err(refused)
}

fn header_fault(error: &csv::Error) -> Error {
    Error::invalid("file", "a table with a header", format!("something else ({error})"))
}

/// What stands most often in the first line between cells, a comma if nothing does.
fn delimiter(start: &[u8]) -> u8 {
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut quoted = false;
    let mut counts = [0_usize; DELIMITERS.len()];
    for byte in line {
        quoted ^= *byte == b'"';
        for (delimiter, count) in DELIMITERS.iter().zip(&mut counts) {
            *count += usize::from(!quoted && byte == delimiter);
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    let found = DELIMITERS.iter().zip(counts).find(|(_, count)| *count == most).map(|(delimiter, _)| *delimiter);
    found.unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::{super::What, *};

    fn rows(text: &[u8]) -> CsvRows<&[u8]> {
        CsvRows::new(text, Path::new("notes.csv"), Wanted::default()).unwrap()
    }

    /// The texts by row, and the faults by row and field.
    fn read(text: &'static [u8]) -> Vec<(u64, String)> {
        let mut rows = rows(text);
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let said = match row.read {
                Ok(items) => match &items[0].what {
                    What::Record { draft, .. } => draft.text.clone(),
                    other => panic!("expected a record, found {other:?}"),
                },
                Err(Fault::Line(error)) => format!("!{}", error.field().unwrap()),
                Err(Fault::File(error)) => panic!("{error}"),
            };
            found.push((row.number, said));
        }
        found
    }

    #[test]
    fn cells_are_quoted_as_everywhere_and_the_header_is_the_first_row() {
        let found = read(b"\xef\xbb\xbftext,mood\r\n\"one,\nand \"\"two\"\"\",calm\r\n\r\nthree,\r\n");
        assert_eq!(found, [(2, "one,\nand \"two\"".to_owned()), (3, "three".to_owned())]);
    }

    #[test]
    fn semicolons_and_tabs_are_recognized() {
        assert_eq!(read(b"id;text\n1;a, b\n"), [(2, "a, b".to_owned())]);
        assert_eq!(read(b"\"a,b\"\ttext\n1\tx\n"), [(2, "x".to_owned())]);
    }

    #[test]
    fn a_wrong_row_is_told_and_the_next_is_read() {
        let found = read(b"id,text\n1,a,b\n2,\n3,\xff\n4,good\n");
        let expected = [(2, "!row"), (3, "!text"), (4, "!row"), (5, "good")];
        assert_eq!(found, expected.map(|(line, said)| (line, said.to_owned())));
    }

    #[test]
    fn the_digest_covers_the_whole_file() {
        let bytes = b"text\nx\n";
        let mut rows = rows(bytes);
        while rows.next().unwrap().is_some() {}
        assert_eq!(rows.about().digest, Some(mnemic::policy::audit::digest(bytes)));
        assert_eq!(rows.position(), bytes.len() as u64);
    }
}
