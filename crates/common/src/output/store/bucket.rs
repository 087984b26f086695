//! A store that is a bucket, spoken to as S3.

use std::ops::Range;
use std::path::Path as File;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, parse_url_opts};
use tokio::io::AsyncWriteExt;

use crate::output::Piece;

/// The bucket and the prefix of a store, or of a task in it.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Bucket {
    /// Rights come from the environment.
    pub(super) fn open(place: &str) -> Result<Self, String> {
        // What is escaped for the name of a file stands in an address escaped once more.
        let url = place.replace('%', "%25").parse().map_err(|bad| format!("{bad}"))?;
        // In lower case they are the names of options; which of them there are, the crate knows.
        let rights = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).map(|(name, value)| (name.to_lowercase(), value));
        let (store, prefix) = parse_url_opts(&url, rights).map_err(|bad| bad.to_string())?;
        Ok(Self { store: store.into(), prefix })
    }

    /// Copies a file to the place of a task.
    pub(super) async fn put(&self, home: &str, piece: Piece, file: &File) -> Result<(), String> {
        let target = self.prefix.clone().join(home).join(piece.to_string());
        let mut file = tokio::fs::File::open(file).await.map_err(|error| error.to_string())?;
        let mut object = BufWriter::new(Arc::clone(&self.store), target);
        tokio::io::copy(&mut file, &mut object).await.map_err(|error| error.to_string())?;
        object.shutdown().await.map_err(|error| error.to_string())
    }

    /// What lies in the place of a task, with its lengths.
    pub(super) async fn list(&self) -> Result<Vec<(Piece, u64)>, String> {
        let objects: Vec<_> = self.store.list(Some(&self.prefix)).try_collect().await.map_err(|error| error.to_string())?;
        Ok(objects.iter().filter_map(|object| Some((Piece::parse(object.location.filename()?)?, object.size))).collect())
    }

    /// Some bytes of a piece.
    pub(super) async fn read(&self, piece: Piece, range: Range<u64>) -> Result<Vec<u8>, String> {
        let object = self.prefix.clone().join(piece.to_string());
        let bytes = self.store.get_range(&object, range).await.map_err(|error| error.to_string())?;
        Ok(bytes.to_vec())
    }
}
