//! A login dialog between a client of a listener and a remote: the listener holds the
//! client's end, a session the remote's. Each challenge is answered before the next, so that one of
//! either is under way at most.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use vouch_protocol::sasl::RelayedMechanism;
use vouch_protocol::sasl::relayed::{MESSAGE_LIMIT, Unreadable};
use vouch_protocol::secret::Secret;

/// Bound (questions): time that a client has to answer a mail server's challenge. Beyond: the dialog is cancelled, no
/// answer. Why: the client's program knows the password when it begins, the dialog holds a session, and Postfix does
/// not report that its client went away.
const CLIENT_PATIENCE: Duration = Duration::from_secs(15);

/// Bound (questions): time that a client has to answer a mail server's challenge while the most dialogs allowed are
/// waiting. Beyond: the dialog is cancelled, no answer. Why: clients that leave dialogs half done would hold all
/// sessions for dialogs.
///
/// What a client's program answers by itself takes no longer.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// Bound (questions): messages under way in a dialog, per direction. Beyond: there is never one more: each side waits
/// for the other. Why: the SASL mechanisms require it.
const ON_THEIR_WAY: usize = 1;

/// The client's end. Dropping it ends the dialog.
pub struct Asker {
    mechanism: RelayedMechanism,
    user: Arc<OnceLock<Vec<u8>>>,
    challenges: mpsc::Receiver<Vec<u8>>,
    responses: mpsc::Sender<Secret<[u8]>>,
}

/// The remote's end. Its clones are one dialog.
#[derive(Clone)]
pub struct Dialog {
    mechanism: RelayedMechanism,
    initial: Option<Secret<[u8]>>,
    user: Arc<OnceLock<Vec<u8>>>,
    ends: Arc<Mutex<Ends>>,
    half_done: Option<Arc<HalfDone>>,
}

/// The dialogs of one remote that wait for their clients, each with a session in its hands. The more
/// they are, the less patience is there for each: else a few clients that are silent would hold all
/// the sessions that there are for dialogs.
#[derive(Debug)]
pub struct HalfDone {
    most: usize,
    waiting: watch::Sender<usize>,
}

struct Waits<'a>(&'a HalfDone);

impl HalfDone {
    /// None yet, of at most so many.
    pub fn new(most: usize) -> Self {
        let (waiting, _) = watch::channel(0);
        Self { most, waiting }
    }

    fn enter(&self) -> Waits<'_> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        Waits(self)
    }

    /// How long each may wait, as many as they are now: as long as ever while there is room for as
    /// many again.
    fn patience(&self) -> Duration {
        let most = u32::try_from(self.most.max(1)).unwrap_or(u32::MAX);
        let waiting = u32::try_from(*self.waiting.borrow()).unwrap_or(u32::MAX);
        let left = 2 * CLIENT_PATIENCE * most.saturating_sub(waiting) / most;
        left.clamp(LEAST_PATIENCE, CLIENT_PATIENCE)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
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
pub fn dialog(
    mechanism: RelayedMechanism,
    initial: Option<Secret<[u8]>>,
) -> Result<(Asker, Dialog), Unreadable> {
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
        half_done: None,
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
    pub fn mechanism(&self) -> RelayedMechanism {
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

    /// The same dialog, as one of those of a remote.
    #[must_use]
    pub fn among(&self, half_done: &Arc<HalfDone>) -> Self {
        Self {
            half_done: Some(half_done.clone()),
            ..self.clone()
        }
    }

    /// The client's answer to a challenge, by `deadline` at the latest; `None` when it gives none.
    pub async fn answer(&self, challenge: Vec<u8>, deadline: Instant) -> Option<Secret<[u8]>> {
        let mut ends = self.ends.lock().await;
        ends.begun = true;
        let _waits = self.half_done.as_ref().map(|half_done| half_done.enter());
        let answer = match ends.challenges.try_send(challenge) {
            Ok(()) => tokio::select! {
                answer = ends.responses.recv() => answer,
                () = self.patience(deadline) => None,
            },
            Err(_) => None,
        };
        ends.left = answer.is_none();
        answer
    }

    /// Waits for as long as there is patience with the client, whose turn begins now.
    async fn patience(&self, deadline: Instant) {
        let began = Instant::now();
        let Some(half_done) = &self.half_done else {
            return sleep_until(deadline.min(began + CLIENT_PATIENCE)).await;
        };
        let mut others = half_done.waiting.subscribe();
        loop {
            let until = deadline.min(began + half_done.patience());
            tokio::select! {
                () = sleep_until(until) => return,
                // As long as this waits, the sender is there.
                _ = others.changed() => {}
            }
        }
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

    // Fills ON_THEIR_WAY.
    #[tokio::test(start_paused = true)]
    async fn what_one_end_says_the_other_hears() {
        let (mut asker, dialog) = dialog(RelayedMechanism::CramMd5, None).unwrap();
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
        let (asker, leaves) = dialog(RelayedMechanism::CramMd5, None).unwrap();
        let (answer, ()) = tokio::join!(leaves.answer(Vec::new(), soon()), async { drop(asker) });
        assert!(answer.is_none());
        assert!(leaves.answer(Vec::new(), soon()).await.is_none());
        assert!(leaves.was_left().await);

        let (_asker, silent) = dialog(RelayedMechanism::CramMd5, None).unwrap();
        let began = Instant::now();
        assert!(silent.answer(Vec::new(), soon()).await.is_none() && silent.was_left().await);
        assert_eq!(began.elapsed(), CLIENT_PATIENCE);
    }

    #[tokio::test]
    async fn the_first_message_names_the_user() {
        let named = |first: &str| dialog(RelayedMechanism::ScramSha1, Some(secret(first)));
        assert_eq!(named("n,,n=jane,r=x").unwrap().1.user(), Some(&b"jane"[..]));
        assert_eq!(
            named("n,a=root,n=jane,r=x").err(),
            Some(Unreadable::ForeignAuthzid)
        );
        let (asker, _dialog) = dialog(RelayedMechanism::CramMd5, None).unwrap();
        assert_eq!(asker.read(&secret("jane")), Err(Unreadable::Malformed));
        asker.read(&secret(CRAM)).unwrap();
        // What follows is the remote's to read.
        asker.read(&secret("")).unwrap();
        assert_eq!(asker.user(), Some(&b"jane"[..]));
    }

    /// Waits for a client that is silent, beside so many others.
    async fn waited(half_done: &Arc<HalfDone>, others: usize) -> Duration {
        let _others: Vec<_> = (0..others).map(|_| half_done.enter()).collect();
        let (_asker, dialog) = dialog(RelayedMechanism::CramMd5, None).unwrap();
        let began = Instant::now();
        let answer = dialog.among(half_done).answer(Vec::new(), soon()).await;
        assert!(answer.is_none());
        began.elapsed()
    }

    // Fills LEAST_PATIENCE.
    #[tokio::test(start_paused = true)]
    async fn the_more_are_half_done_the_less_patience_there_is() {
        let half_done = Arc::new(HalfDone::new(10));
        let mut before = CLIENT_PATIENCE;
        for others in 0..12 {
            let waited = waited(&half_done, others).await;
            let shrinks = waited < before || waited == LEAST_PATIENCE;
            assert_eq!(waited == CLIENT_PATIENCE, others < 5, "{others}: {waited:?}");
            assert!(shrinks || others < 5, "{others}: {waited:?}");
            before = waited;
        }
        assert_eq!(before, LEAST_PATIENCE);
        assert_eq!(*half_done.waiting.borrow(), 0);

        // One that waits already has less patience from then on.
        let began = Instant::now();
        let others = async {
            tokio::time::sleep(2 * LEAST_PATIENCE).await;
            let _others: Vec<_> = (0..10).map(|_| half_done.enter()).collect();
            tokio::time::sleep(CLIENT_PATIENCE).await;
        };
        let waiting = async {
            waited(&half_done, 0).await;
            began.elapsed()
        };
        assert_eq!(tokio::join!(waiting, others).0, 2 * LEAST_PATIENCE);
    }
}
