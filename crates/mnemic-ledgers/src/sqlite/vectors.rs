//! The vector files: one per embedding model, a header and then rows of one length, only ever appended to.
//! Not here: which row belongs to which record, and its checksum (the database says).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use mnemic_core::{Embedding, EmbeddingModel, Error, ErrorKind, Metric, policy::audit};
use rusqlite::Connection;

use super::{
    directory::{self, FILE_MODE},
    error::{At, Fault, Outcome, corrupted},
};

const MAGIC: &[u8; 8] = b"MNEMICVF";
const VERSION: u32 = 1;
/// Rows start at a page, whatever the length of the model's name.
pub(super) const HEADER: usize = 4096;

/// Where a vector lies, as a record's row tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) model: i64,
    pub(super) slot: u64,
    pub(super) crc: u32,
}

/// The name of a model's file: stable, and safe whatever the model is called.
pub(super) fn file_name(model: &EmbeddingModel) -> String {
    let digest = audit::digest(model.to_string().as_bytes()).to_string();
    format!("vectors-{}.f32", digest.get(..16).unwrap_or_default())
}

/// Whether a file name is one that `file_name` makes.
pub(super) fn is_vector_file(name: &str) -> bool {
    name.strip_prefix("vectors-").is_some_and(|rest| rest.strip_suffix(".f32").is_some())
}

/// Empties the vector files that hold no row that a commit vouches for. They are not removed, because a writer may have them open.
pub(super) fn empty_others(directory: &Path, vouched: &BTreeSet<String>) -> Outcome<()> {
    for entry in std::fs::read_dir(directory).at(directory)? {
        let entry = entry.at(directory)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_vector_file(&name) && !vouched.contains(&name) {
            let path = entry.path();
            let file = OpenOptions::new().write(true).open(&path).at(&path)?;
            if file.metadata().at(&path)?.len() > HEADER as u64 {
                file.set_len(HEADER as u64).and_then(|()| file.sync_all()).at(&path)?;
            }
        }
    }
    Ok(())
}

/// One open vector file.
#[derive(Debug)]
pub(super) struct VectorFile {
    file: File,
    path: PathBuf,
    model: EmbeddingModel,
}

impl VectorFile {
    /// Opens a file and checks that it holds this model's vectors.
    pub(super) fn open(directory: &Path, model: &EmbeddingModel) -> Outcome<Self> {
        let path = directory.join(file_name(model));
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(corrupted(&path, "the vector file is missing").into());
            }
            file => file.at(&path)?,
        };
        let mut found = vec![0; HEADER];
        let read = file.read_exact_at(&mut found, 0);
        if read.is_err() || found != header(model) {
            return Err(corrupted(&path, format_args!("the header is not that of the vectors of {model}")).into());
        }
        Ok(Self { file, path, model: model.clone() })
    }

    /// Opens a file for appending after `rows` rows; makes it if there are none.
    pub(super) fn open_or_create(directory: &Path, model: &EmbeddingModel, rows: u64) -> Outcome<Self> {
        match Self::open(directory, model) {
            // Without a row that a commit vouched for, whatever is there was left by a crash.
            Err(Fault::Mnemic(error)) if error.kind() == ErrorKind::Corrupted && rows == 0 => {
                Self::create(directory, model)
            }
            opened => opened,
        }
    }

    /// Makes a file without rows.
    pub(super) fn create(directory: &Path, model: &EmbeddingModel) -> Outcome<Self> {
        let path = directory.join(file_name(model));
        let options =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
        let file = options().at(&path)?;
        file.write_all_at(&header(model), 0).and_then(|()| file.sync_all()).at(&path)?;
        directory::sync(directory)?;
        Ok(Self { file, path, model: model.clone() })
    }

    /// Bytes of one row.
    pub(super) fn stride(&self) -> usize {
        self.model.dimension() as usize * size_of::<f32>()
    }

    /// Rows that the file has room for by its length, a torn last one counted.
    pub(super) fn rows(&self) -> Outcome<u64> {
        let length = self.file.metadata().at(&self.path)?.len();
        Ok(length.saturating_sub(HEADER as u64).div_ceil(self.stride() as u64))
    }

    fn offset(&self, slot: u64) -> u64 {
        HEADER as u64 + slot * self.stride() as u64
    }

    /// Writes rows one after another from `slot` on. Durable only after `sync`.
    pub(super) fn write(&self, slot: u64, rows: &[u8]) -> Outcome<()> {
        self.file.write_all_at(rows, self.offset(slot)).at(&self.path)
    }

    /// Makes rows durable.
    pub(super) fn sync(&self) -> Outcome<()> {
        self.file.sync_data().at(&self.path)
    }

    /// Reads rows one after another from `slot` on.
    pub(super) fn read_rows(&self, slot: u64, rows: &mut [u8]) -> Outcome<()> {
        self.file.read_exact_at(rows, self.offset(slot)).at(&self.path)
    }

    /// Reads one row and compares it with its checksum. `record` is for the message.
    pub(super) fn read(&self, location: Location, record: &str) -> Outcome<Embedding> {
        let mut bytes = vec![0; self.stride()];
        let damaged = |what: &str| {
            let record = mnemic_core::ids::quoted(record);
            Fault::from(corrupted(&self.path, format_args!("the embedding of record {record} {what}")))
        };
        match self.file.read_exact_at(&mut bytes, self.offset(location.slot)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged("is cut off")),
            read => read.at(&self.path)?,
        }
        if crc32fast::hash(&bytes) != location.crc {
            return Err(damaged("does not match its checksum"));
        }
        let components = bytes.chunks_exact(4).map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap_or_default()));
        Embedding::new(&self.model, components.collect::<Arc<[f32]>>()).map_err(|_refused| damaged("is not a vector"))
    }

    /// Cuts off what no commit vouches for.
    pub(super) fn cut(&self, rows: u64) -> Outcome<()> {
        let end = self.offset(rows);
        if self.file.metadata().at(&self.path)?.len() > end {
            self.file.set_len(end).at(&self.path)?;
        }
        Ok(())
    }
}

/// Magic, version, dimension, length of the model's name, its name, and a checksum at the very end.
fn header(model: &EmbeddingModel) -> Vec<u8> {
    let name = model.to_string();
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&model.dimension().to_le_bytes());
    header.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
    header.extend_from_slice(name.as_bytes());
    header.resize(HEADER - size_of::<u32>(), 0);
    let crc = crc32fast::hash(&header);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

/// The bytes of a vector, as they lie in its file.
pub(super) fn bytes_of(embedding: &Embedding) -> impl Iterator<Item = u8> {
    embedding.components().iter().flat_map(|component| component.to_le_bytes())
}

/// The vector files of one namespace that were opened so far.
#[derive(Debug, Default)]
pub(super) struct VectorFiles(Mutex<BTreeMap<EmbeddingModel, Arc<VectorFile>>>);

impl VectorFiles {
    /// The file of a model, opened by `open` if it was not yet.
    /// The key is the model's identity, because a number in the database may yet be rolled back.
    pub(super) fn get(
        &self,
        model: &EmbeddingModel,
        open: impl FnOnce() -> Outcome<VectorFile>,
    ) -> Outcome<Arc<VectorFile>> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = files.get(model) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(open()?);
        files.insert(model.clone(), Arc::clone(&file));
        Ok(file)
    }

    /// Closes all, so that they are opened and checked again.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A model as the database knows it.
#[derive(Debug)]
pub(super) struct ModelRow {
    pub(super) no: i64,
    pub(super) model: EmbeddingModel,
    /// Rows of its file that commits vouch for.
    pub(super) rows: u64,
}

/// Every model that the database knows.
pub(super) fn models(connection: &Connection) -> Outcome<Vec<ModelRow>> {
    let mut statement = connection.prepare_cached("SELECT no, provider, name, dimension, metric, rows FROM models")?;
    let mut rows = statement.query(())?;
    let mut models = Vec::new();
    while let Some(row) = rows.next()? {
        let metric: String = row.get(4)?;
        if metric != Metric::Cosine.as_str() {
            return Err(Error::new(ErrorKind::Corrupted, "a stored embedding model has an unknown metric").into());
        }
        let (provider, name): (String, String) = (row.get(1)?, row.get(2)?);
        let model = EmbeddingModel::new(provider, name, row.get(3)?, Metric::Cosine)?;
        models.push(ModelRow { no: row.get(0)?, model, rows: row.get(5)? });
    }
    Ok(models)
}
