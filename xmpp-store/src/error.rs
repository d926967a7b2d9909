//! Why a store cannot be opened or restored.

use std::error::Error;
use std::path::PathBuf;

/// Why a store cannot be opened or restored. Its text is for the operator, and all there is: it
/// has no [source](Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the file open.
    #[error("{} is in use by another process{}", path.display(), by(*process))]
    InUse {
        /// The file.
        path: PathBuf,
        /// The other process, if it says who it is.
        process: Option<u32>,
    },
    /// The data was written by a newer release, which may keep things that this one
    /// would damage.
    #[error("the data is of a newer release (schema {found}; this one knows {known})")]
    Newer {
        /// Version of the data.
        found: u32,
        /// The last version that this release knows.
        known: u32,
    },
    /// The file is of another program.
    #[error("{} is not a store of this program", .0.display())]
    Foreign(PathBuf),
    /// There is a store where one should be restored.
    #[error("there is a store already: {}", .0.display())]
    Exists(PathBuf),
    /// The copy that should be restored is damaged.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The copy.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Anything else.
    #[error("cannot {what}: {why}")]
    Failed {
        /// What was tried.
        what: String,
        /// What came of it.
        why: String,
    },
}

/// Names what was tried when it has failed.
pub(crate) trait Trying<T> {
    /// The value, or [`OpenError::Failed`] with what was tried.
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, OpenError>;
}

impl<T, E> Trying<T> for Result<T, E>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, OpenError> {
        self.map_err(|error| OpenError::Failed {
            what: what(),
            why: error.into().to_string(),
        })
    }
}

fn by(process: Option<u32>) -> String {
    process.map_or(String::new(), |process| format!(" ({process})"))
}
