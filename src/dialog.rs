//! A login dialog between a client at a door and a remote: the door holds the client's end,
//! a session the remote's. Each challenge is answered before the next, so that one of
//! either is under way at most.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::sasl::Carried;
use protocol::sasl::carried::{MESSAGE_LIMIT, Unreadable};
use protocol::secret::Secret;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout_at};

/// A client answers a challenge within this time, or has lost interest: it knows the
/// password when it begins. The dialog holds a session of the remote, and Postfix does
/// not tell that its client went away.
pub(crate) const CLIENT_PATIENCE: Duration = Duration::from_secs(15);

/// Messages of either end that are on their way: whoever sends waits for the other end, so there is never a
/// second one.
pub(crate) const ON_THEIR_WAY: usize = 1;

/// The client's end. Dropping it ends the dialog.
pub struct Asker {
    mechanism: Carried,
    user: Arc<OnceLock<Vec<u8>>>,
    challenges: mpsc::Receiver<Vec<u8>>,
    responses: mpsc::Sender<Secret<[u8]>>,
}

/// The remote's end. Its clones are one dialog.
#[derive(Clone)]
pub struct Dialog {
    mechanism: Carried,
    initial: Option<Secret<[u8]>>,
    user: Arc<OnceLock<Vec<u8>>>,
    ends: Arc<Mutex<Ends>>,
}

struct Ends {
    challenges: mpsc::Sender<Vec<u8>>,
    responses: mpsc::Receiver<Secret<[u8]>>,
    begun: bool,
    left: bool,
}

/// The two ends of a new dialog. `initial` is the client's first message where it speaks first.
///
/// # Errors
/// The first message cannot be carried.
pub fn dialog(mechanism: Carried, initial: Option<Secret<[u8]>>) -> Result<(Asker, Dialog), Unreadable> {
    let user = Arc::new(OnceLock::new());
    let (give, challenges) = mpsc::channel(ON_THEIR_WAY);
    let (responses, take) = mpsc::channel(ON_THEIR_WAY);
    let asker = Asker {
        mechanism,
        user: user.clone(),
        challenges,
        responses,
    };
    if let Some(initial) = &initial {
        asker.read(initial)?;
    }
    let ends = Ends {
        challenges: give,
        responses: take,
        begun: false,
        left: false,
    };
    let ends = Arc::new(Mutex::new(ends));
    let dialog = Dialog {
        mechanism,
        initial,
        user,
        ends,
    };
    Ok((asker, dialog))
}

impl Asker {
    /// The next challenge for the client; `None` when there will be none.
    pub async fn challenge(&mut self) -> Option<Vec<u8>> {
        self.challenges.recv().await
    }

    /// Reads what there is to read in the client's next message: the first names the user.
    ///
    /// # Errors
    /// It cannot be carried.
    pub fn read(&self, message: &Secret<[u8]>) -> Result<(), Unreadable> {
        if message.expose().len() > MESSAGE_LIMIT {
            return Err(Unreadable::TooLong);
        }
        if self.user.get().is_none() {
            let user = self.mechanism.user_in(message.expose())?;
            // Nobody else sets it.
            let _ = self.user.set(user);
        }
        Ok(())
    }

    /// Answers the challenge with a message that was [`read`](Self::read). A remote that has gone
    /// meanwhile does not hear it.
    pub fn respond(&self, message: Secret<[u8]>) {
        let _ = self.responses.try_send(message);
    }

    /// The user whom the client named, as soon as it did.
    pub fn user(&self) -> Option<&[u8]> {
        self.user.get().map(Vec::as_slice)
    }
}

impl Dialog {
    /// The mechanism.
    pub fn mechanism(&self) -> Carried {
        self.mechanism
    }

    /// The client's first message, where it speaks first.
    pub fn initial(&self) -> Option<&Secret<[u8]>> {
        self.initial.as_ref()
    }

    /// The user whom the client named, as soon as it did.
    pub fn user(&self) -> Option<&[u8]> {
        self.user.get().map(Vec::as_slice)
    }

    /// Whether the client was given a challenge. No other remote session can go on then.
    pub async fn has_begun(&self) -> bool {
        self.ends.lock().await.begun
    }

    /// The client's answer to a challenge, by `deadline` at the latest; `None` when it gives none.
    pub async fn answer(&self, challenge: Vec<u8>, deadline: Instant) -> Option<Secret<[u8]>> {
        let mut ends = self.ends.lock().await;
        ends.begun = true;
        let by = deadline.min(Instant::now() + CLIENT_PATIENCE);
        let answer = match ends.challenges.try_send(challenge) {
            Ok(()) => timeout_at(by, ends.responses.recv()).await.ok().flatten(),
            Err(_) => None,
        };
        ends.left = answer.is_none();
        answer
    }

    /// Whether the client gave no answer to a challenge: the remote is not to blame for how it ended.
    pub async fn was_left(&self) -> bool {
        self.ends.lock().await.left
    }
}

impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialog({})", self.mechanism.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<[u8]> {
        Secret::copy_from(text.as_bytes())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    const CRAM: &str = "jane b913a602c7eda7a495b4e6e7334d3890";

    #[tokio::test(start_paused = true)]
    async fn what_one_end_says_the_other_hears() {
        let (mut asker, dialog) = dialog(Carried::CramMd5, None).unwrap();
        assert!(dialog.user().is_none() && !dialog.has_begun().await);
        let client = async {
            assert_eq!(asker.challenge().await.unwrap(), b"<1@r>");
            asker.read(&secret(CRAM)).unwrap();
            asker.respond(secret(CRAM));
            asker
        };
        let (answer, asker) = tokio::join!(dialog.answer(b"<1@r>".to_vec(), soon()), client);
        assert_eq!(answer.unwrap().expose(), CRAM.as_bytes());
        assert_eq!(
            (dialog.user(), asker.user()),
            (Some(&b"jane"[..]), Some(&b"jane"[..]))
        );
        assert!(dialog.has_begun().await && !dialog.was_left().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_or_is_silent_gives_no_answer() {
        let (asker, leaves) = dialog(Carried::CramMd5, None).unwrap();
        let (answer, ()) = tokio::join!(leaves.answer(Vec::new(), soon()), async { drop(asker) });
        assert!(answer.is_none());
        assert!(leaves.answer(Vec::new(), soon()).await.is_none());
        assert!(leaves.was_left().await);

        let (_asker, silent) = dialog(Carried::CramMd5, None).unwrap();
        let began = Instant::now();
        assert!(silent.answer(Vec::new(), soon()).await.is_none() && silent.was_left().await);
        assert_eq!(began.elapsed(), CLIENT_PATIENCE);
    }

    #[tokio::test]
    async fn the_first_message_names_the_user() {
        let named = |first: &str| dialog(Carried::ScramSha1, Some(secret(first)));
        assert_eq!(named("n,,n=jane,r=x").unwrap().1.user(), Some(&b"jane"[..]));
        assert_eq!(
            named("n,a=root,n=jane,r=x").err(),
            Some(Unreadable::ForeignAuthzid)
        );
        let (asker, _dialog) = dialog(Carried::CramMd5, None).unwrap();
        assert_eq!(asker.read(&secret("jane")), Err(Unreadable::Malformed));
        asker.read(&secret(CRAM)).unwrap();
        // What follows is the remote's to read.
        asker.read(&secret("")).unwrap();
        assert_eq!(asker.user(), Some(&b"jane"[..]));
    }
}
