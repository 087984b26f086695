//! The lines of an array, written before it is submitted: nothing of it runs before its task is there, which is submitted last.
//!
//! Every transaction is repeated until its answer is known. The id is ours alone, so that a node that is there was created by an earlier
//! copy of the same transaction. What a client leaves that dies in between is removed by the master's janitor.

use bellwether_common::store::{LayoutError, ReadError, Store};
use bellwether_core::protocol::acl::identity::ACL_BYTES_MAX;
use bellwether_core::protocol::{Multi, Outcome, Refusal, TaskName, Why, path};
use futures::{StreamExt, TryStreamExt, stream};

use crate::arrays::Chunk;
use crate::client::Client;
use crate::error::{Error, SubmitError};

/// About how many bytes of lines one transaction has.
const MULTI_BYTES: usize = 700 * 1024;
/// How many transactions are in flight.
const WINDOW: usize = 4;

/// Writes all of them.
pub(crate) async fn write(client: &Client, array: &TaskName, chunks: Vec<Chunk>) -> Result<(), SubmitError> {
    if chunks.is_empty() {
        return Ok(());
    }
    let above = Multi::new().create(path::array(array), Vec::new()).create(path::array_lines(array), Vec::new());
    create(client, above).await?;
    let multis = stream::iter(transactions(array, chunks));
    multis.map(|multi| Ok(create(client, multi))).try_buffer_unordered(WINDOW).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// As few as they fit in.
fn transactions(array: &TaskName, chunks: Vec<Chunk>) -> Vec<Multi> {
    let (mut multis, mut multi, mut bytes) = (Vec::new(), Multi::new(), 0);
    for chunk in chunks {
        let path = path::array_lines_chunk(array, chunk.from);
        let size = chunk.data.len() + path.len() + ACL_BYTES_MAX;
        if bytes > 0 && bytes + size > MULTI_BYTES {
            multis.push(std::mem::take(&mut multi));
            bytes = 0;
        }
        bytes += size;
        multi = multi.create(path, chunk.data);
    }
    multis.push(multi);
    multis
}

async fn create(client: &Client, multi: Multi) -> Result<(), SubmitError> {
    let created = client.ask_again(move |store| {
        let multi = multi.clone();
        async move { create_once(&store, multi).await }
    });
    Ok(created.await??)
}

async fn create_once(store: &Store, multi: Multi) -> Result<Result<(), Error>, ReadError> {
    match store.commit(multi).await {
        Outcome::Applied(_) | Outcome::Refused(Refusal::At { index: 0, why: Why::NodeExists }) => Ok(Ok(())),
        Outcome::Unknown | Outcome::Refused(Refusal::Whole(Why::NotSent)) => Err(ReadError::Interrupted),
        Outcome::Refused(Refusal::At { why: Why::NoNode, .. }) => match store.ensure_layout().await {
            Ok(()) | Err(LayoutError::Read(_)) => Err(ReadError::Interrupted),
            Err(error) => Ok(Err(Error::of_layout(error, "write the lines of an array"))),
        },
        Outcome::Refused(Refusal::At { why: Why::NoAuth, .. }) => Ok(Err(Error::Denied { what: format!("create below {}", path::ARRAYS) })),
        Outcome::Refused(refusal) => Ok(Err(Error::Refused(format!("the lines of the array, at {refusal}")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_has_as_many_chunks_as_fit() {
        let chunk = |from, size| Chunk { from, data: vec![b'x'; size] };
        let chunks = vec![chunk(0, 250_000), chunk(1, 250_000), chunk(2, 250_000), chunk(3, 720_000), chunk(4, 1)];
        let multis = transactions(&TaskName::listed("a"), chunks);
        assert_eq!(multis.iter().map(|multi| multi.ops.len()).collect::<Vec<_>>(), [2, 1, 1, 1]);
    }
}
