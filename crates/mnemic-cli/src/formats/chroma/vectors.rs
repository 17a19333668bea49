//! The embeddings of one collection: from Chroma's queue, and what has left it from the files of its index (hnswlib). Where a space
//! is one of cosines, the files hold embeddings of length one, which in such a space are the same. Not here: records (`chroma`).

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use mnemic::{Error, Result};
use rusqlite::Connection;

use super::{
    super::sqlite,
    pickle::{self, Key, Pickled},
};

/// Where the embeddings of a collection are.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    /// The position in the queue of the last embedding of an id.
    queued: HashMap<String, i64>,
    filed: Option<Filed>,
}

impl Vectors {
    /// Finds them. What cannot be read is left out: the texts are embedded anew.
    pub(super) fn of(connection: &Connection, collection: &str, segment: Option<&Path>) -> Result<Self> {
        let read = || {
            let select = "SELECT id, seq_id FROM embeddings_queue WHERE topic LIKE '%' || ?1 AND vector IS NOT NULL \
                          AND encoding = 'FLOAT32' ORDER BY seq_id";
            let mut statement = connection.prepare(select)?;
            let rows = statement.query_map([collection], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<HashMap<String, i64>>>()
        };
        let queued = read().map_err(|error| sqlite::fault(&error))?;
        let filed = segment.map(Filed::open).and_then(|filed| match filed {
            Ok(filed) => filed,
            Err(error) => {
                tracing::warn!(%error, "an index of Chroma cannot be read; texts are embedded anew");
                None
            }
        });
        Ok(Self { queued, filed })
    }

    /// The embedding of an id, if it is found.
    pub(super) fn get(&mut self, connection: &Connection, id: &str) -> Result<Option<Vec<f32>>> {
        if let Some(position) = self.queued.get(id) {
            let select = "SELECT vector FROM embeddings_queue WHERE seq_id = ?1";
            let blob: rusqlite::Result<Vec<u8>> =
                connection.prepare_cached(select).and_then(|mut select| select.query_row([position], |row| row.get(0)));
            return blob.map(|blob| floats(&blob)).map_err(|error| sqlite::fault(&error));
        }
        Ok(self.filed.as_mut().and_then(|filed| filed.get(id)))
    }
}

fn floats(bytes: &[u8]) -> Option<Vec<f32>> {
    let (parts, rest) = bytes.as_chunks::<4>();
    (rest.is_empty() && !parts.is_empty()).then(|| parts.iter().copied().map(f32::from_le_bytes).collect())
}

/// The elements of an index in files.
#[derive(Debug)]
struct Filed {
    elements: BufReader<File>,
    labels: BTreeMap<String, u64>,
    /// For each label the position of its element.
    positions: HashMap<u64, u64>,
    shape: Shape,
}

/// How elements lie in the file, as its header says.
#[derive(Clone, Copy, Debug)]
struct Shape {
    count: u64,
    element: u64,
    label: u64,
    data: u64,
}

impl Shape {
    /// The header: a version of 4 bytes, then numbers of 8.
    fn of(header: &[u8]) -> Option<Self> {
        let number = |i: usize| Some(u64::from_le_bytes(*header.get(4 + 8 * i..)?.first_chunk()?));
        let shape = Self { count: number(2)?, element: number(3)?, label: number(4)?, data: number(5)? };
        let sound = shape.data < shape.label && shape.label.checked_add(8)? <= shape.element && shape.element < 1 << 20;
        sound.then_some(shape)
    }

    fn dimension_bytes(&self) -> usize {
        (self.label - self.data) as usize
    }
}

impl Filed {
    /// Opens the files of an index; `None` for one that was never written out.
    fn open(directory: &Path) -> Result<Option<Self>> {
        let failed = |source| Error::invalid("index", "files that can be read", "others").with_source(source);
        let pickled = match fs::read(directory.join("index_metadata.pickle")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(failed)?,
        };
        let labels = labels(pickle::read(&pickled)?);
        let header = fs::read(directory.join("header.bin")).map_err(failed)?;
        let shape = Shape::of(&header).ok_or_else(|| Error::invalid("header.bin", "a header of hnswlib", "another"))?;
        let file = File::open(directory.join("data_level0.bin")).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        if shape.count.checked_mul(shape.element).is_none_or(|needed| needed > length) {
            return Err(Error::invalid("data_level0.bin", format!("{} elements", shape.count), "fewer"));
        }
        let mut filed =
            Self { elements: BufReader::with_capacity(1 << 16, file), labels, positions: HashMap::new(), shape };
        let mut element = vec![0; shape.element as usize];
        for position in 0..shape.count {
            filed.elements.read_exact(&mut element).map_err(failed)?;
            let label = element.get(shape.label as usize..).and_then(<[u8]>::first_chunk).copied();
            filed.positions.insert(u64::from_le_bytes(label.unwrap_or_default()), position);
        }
        Ok(Some(filed))
    }

    fn get(&mut self, id: &str) -> Option<Vec<f32>> {
        let position = self.positions.get(self.labels.get(id)?)?;
        let start = position * self.shape.element + self.shape.data;
        let mut bytes = vec![0; self.shape.dimension_bytes()];
        self.elements.seek(SeekFrom::Start(start)).ok()?;
        self.elements.read_exact(&mut bytes).ok()?;
        floats(&bytes)
    }
}

fn labels(pickled: Pickled) -> BTreeMap<String, u64> {
    let Pickled::Entries(mut entries) = pickled else { return BTreeMap::new() };
    let Some(Pickled::Entries(labels)) = entries.remove(&Key::Text("id_to_label".to_owned())) else {
        return BTreeMap::new();
    };
    let label = |(key, label): (Key, Pickled)| match (key, label) {
        (Key::Text(id), Pickled::Number(label)) => Some((id, u64::try_from(label).ok()?)),
        _ => None,
    };
    labels.into_iter().filter_map(label).collect()
}
