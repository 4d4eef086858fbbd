//! A connection to what is no mail server, with the same ways, trust and limits as those to remotes.

use std::sync::Arc;

use tokio::time::Instant;

use super::connect::Dial;
use super::error::Error;
use super::tls::{Begun, Client};
use crate::wire::Stream;

/// Connects to `peer`, with TLS from the first byte on where there is a client for it.
///
/// # Errors
/// Why it cannot be reached, or is not believed to be itself.
pub async fn open(
    peer: &Arc<str>,
    dial: &dyn Dial,
    tls: Option<&Client>,
    deadline: Instant,
) -> Result<Stream, Error> {
    let stream = dial.dial(peer, deadline).await?.stream;
    let Some(tls) = tls else {
        return Ok(stream);
    };
    let (stream, _) = tls.handshake(peer, stream, Begun::AtOnce, deadline).await?;
    Ok(stream)
}
