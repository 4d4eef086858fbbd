//! The way to the remote: pipes in memory whose ends are counted.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use vouch::session::connect::{Dial, Dialled};
use vouch::session::{Error, Kind};
use vouch::settings::kind::Kind as Protocol;

use crate::imap::{self, Imap};
use crate::line::Line;
use crate::pipe::{End, PIPE, connection};
use crate::smtp::{self, Smtp};
use crate::stale::Down;
use crate::world::World;

/// Calls the remote of a world.
pub(crate) struct Telephone(pub(crate) Arc<World>);

impl Dial for Telephone {
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async move {
            let world = &self.0;
            let seat = Seat {
                id: world.sit_down(),
                world: world.clone(),
            };
            world.note(|| format!("session {}: vouch calls", seat.id));
            let slow = world.chance.once_in(world.rate);
            let distance = if slow {
                world.chance.ms(1, 9000)
            } else {
                Duration::from_millis(1)
            };
            if timeout_at(deadline, sleep(distance)).await.is_err() {
                return Err(Error::new(Kind::Timeout, peer, "connect", "no answer in time"));
            }
            world.check_sessions().await;
            if world.is_down(Down::is_deaf) {
                sleep_until(deadline).await;
                return Err(Error::new(Kind::Timeout, peer, "connect", "no answer in time"));
            }
            if world.is_down(Down::is_refusing) {
                return Err(Error::new(Kind::Unreachable, peer, "connect", "refused"));
            }
            if (world.is_shut() && world.chance.coin()) || world.chance.once_in(world.rate / 3) {
                return Err(Error::new(Kind::Unreachable, peer, "connect", "refused"));
            }
            let (stream, theirs, state) = connection(world, PIPE);
            let (id, world, theirs) = (seat.id, world.clone(), (theirs, state));
            if world.directory.kind == Protocol::Imap {
                tokio::spawn(Imap::new(Line::new(theirs, id, world, imap::MANNERS)).serve());
            } else {
                tokio::spawn(Smtp::new(Line::new(theirs, id, world, smtp::MANNERS)).serve());
            }
            Ok(Dialled {
                stream: Box::new(Ours { stream, seat }),
                reached: None,
            })
        })
    }
}

/// A session that counts until it is dropped.
struct Seat {
    id: u64,
    world: Arc<World>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.world.stand_up(self.id);
    }
}

/// vouch's end of a connection.
struct Ours {
    stream: End,
    seat: Seat,
}

impl AsyncRead for Ours {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Ours {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.ends_with(b"QUIT\r\n") || bytes.ends_with(b" LOGOUT\r\n") {
            self.seat.world.takes_leave(self.seat.id);
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
