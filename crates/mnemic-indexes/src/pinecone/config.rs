//! What the Pinecone index is told: whose project, which API, where and how indexes are made. Not here: making them (`control`).

use std::{fmt, sync::Arc, time::Duration};

use mnemic_core::{Error, Result};
use mnemic_http::{Address, SecretString};

/// Where Pinecone's control plane is.
const CONTROL_PLANE: &str = "https://api.pinecone.io";

/// The version of the API that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PineconeApi {
    /// `2026-07`
    #[default]
    V2026_07,
    /// `2026-04`, for projects that are pinned to it.
    V2026_04,
}

impl PineconeApi {
    /// The name that requests carry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2026_07 => "2026-07",
            Self::V2026_04 => "2026-04",
        }
    }
}

/// Who is told of progress while an index is made, which takes up to minutes.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// The settings of a `PineconeIndex`.
#[derive(Clone)]
pub struct PineconeConfig {
    /// The project's key.
    pub api_key: SecretString,
    /// The control plane; hosts of indexes are what it tells.
    pub control_plane: Address,
    /// The version of the API.
    pub api: PineconeApi,
    /// What the names of indexes begin with: 1 to 16 characters of `a-z`, `0-9`, `-`, beginning and ending with a letter or digit.
    pub prefix: String,
    /// The cloud of new indexes: `aws`, `gcp` or `azure`.
    pub cloud: String,
    /// The region of new indexes.
    pub region: String,
    /// Whether new indexes are protected from deletion.
    pub deletion_protection: bool,
    /// How long a new index may take until it is ready.
    pub ready_within: Duration,
    /// How long the removal of a namespace may take to show.
    pub settle_within: Duration,
    /// After how long a write counts as visible where the service does not tell. It is an assumption, not knowledge.
    pub assume_visible_after: Duration,
    /// Told of progress, if anybody is.
    pub progress: Option<Progress>,
}

impl PineconeConfig {
    /// The usual settings: API 2026-07, indexes in `us-east-1` of AWS, protected from deletion.
    ///
    /// # Errors
    /// None in practice; the built-in address is checked like any other.
    pub fn new(api_key: SecretString) -> Result<Self> {
        Ok(Self {
            api_key,
            control_plane: Address::new("pinecone_url", CONTROL_PLANE)?,
            api: PineconeApi::default(),
            prefix: "mnemic".to_owned(),
            cloud: "aws".to_owned(),
            region: "us-east-1".to_owned(),
            deletion_protection: true,
            ready_within: Duration::from_mins(5),
            settle_within: Duration::from_mins(1),
            assume_visible_after: Duration::from_mins(1),
            progress: None,
        })
    }

    pub(super) fn check(&self) -> Result<()> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let prefix = self.prefix.as_bytes();
        let edges = prefix.first().zip(prefix.last()).is_some_and(|(first, last)| legal(*first) && legal(*last));
        if edges && prefix.len() <= 16 && prefix.iter().all(|byte| legal(*byte) || *byte == b'-') {
            return Ok(());
        }
        let expected = "1 to 16 characters of a-z, 0-9 and -, with a letter or digit at both ends";
        let message = format!("pinecone_index: expected {expected}, found {}", mnemic_core::ids::quoted(&self.prefix));
        Err(Error::new(mnemic_core::ErrorKind::InvalidConfig, message).with_field("pinecone_index"))
    }

    pub(super) fn tell(&self, what: &str) {
        if let Some(progress) = &self.progress {
            progress(what);
        }
    }
}

impl fmt::Debug for PineconeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PineconeConfig")
            .field("control_plane", &self.control_plane)
            .field("api", &self.api)
            .field("prefix", &self.prefix)
            .field("cloud", &self.cloud)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
