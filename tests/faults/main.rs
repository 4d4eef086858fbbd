//! A remote that is down, stuck, broken or lying: every question is answered "later" in its listener's words and in
//! time, and rightly as soon as the remote is back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints what it saw"
)]

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/asker.rs"]
mod asker;
mod attempts;
mod defects;
mod drain;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../support/scene.rs"]
mod scene;
mod sessions;
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use asker::{Answer, Client, Login, Rcpt, meaning};
use remote::{Fault, Protocol};
use scene::{JANE, NOBODY, PASSWORD, Scene, Setup, options};

/// The deadline of each listener here, and what the test adds for a busy machine before it calls an answer late.
const DEADLINE: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(5);

/// What a question is about, and by which protocol it reaches the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ImapLogin,
    SmtpLogin,
    SmtpRecipient,
    LmtpRecipient,
}

impl Way {
    fn protocol(self) -> Protocol {
        match self {
            Self::ImapLogin => Protocol::Imap,
            Self::SmtpLogin | Self::SmtpRecipient => Protocol::Smtp,
            Self::LmtpRecipient => Protocol::Lmtp,
        }
    }

    /// The command that carries the question.
    fn verb(self) -> &'static str {
        match self {
            Self::ImapLogin => "AUTHENTICATE",
            Self::SmtpLogin => "AUTH",
            Self::SmtpRecipient | Self::LmtpRecipient => "RCPT",
        }
    }

    fn is_login(self) -> bool {
        matches!(self, Self::ImapLogin | Self::SmtpLogin)
    }

    async fn scene(self) -> Scene {
        let listeners =
            "deadline = \"2s\"\nlimits.auth-errors = \"unlimited\"\nlimits.rcpt-errors = \"unlimited\"";
        let mut options = options(self.protocol());
        // So that there is a command before the login, as SMTP has its EHLO.
        options.capability_codes = false;
        // A question that was sent is heard out for so long, whoever waits.
        let setup = Setup::new(options).directory("timeout = \"2s\"");
        setup.listeners(listeners).start().await
    }

    /// A question whose answer is yes.
    async fn good(self, scene: &Scene) -> Answer {
        match self.is_login() {
            true => scene.login(JANE, PASSWORD).await,
            false => scene.recipient(JANE).await,
        }
    }

    /// A question whose answer is no.
    async fn bad(self, scene: &Scene) -> Answer {
        match self.is_login() {
            true => scene.login(JANE, "wrong").await,
            false => scene.recipient(NOBODY).await,
        }
    }

    /// A question as Postfix's SASL asks it, which is told "later" by hanging up. Its answer is yes.
    async fn as_postfix(self, scene: &Scene) -> Answer {
        if !self.is_login() {
            return self.good(scene).await;
        }
        let login = Login {
            service: "smtp",
            ..Login::of(JANE, PASSWORD)
        };
        scene.auth().await.login(&login).await
    }

    /// All three at once; each is answered in time.
    async fn ask(self, scene: &Scene, when: &str) -> [Answer; 3] {
        let began = Instant::now();
        let (good, bad, postfix) = tokio::join!(self.good(scene), self.bad(scene), self.as_postfix(scene));
        assert!(began.elapsed() < DEADLINE + SLACK, "{self:?} late, {when}");
        [good, bad, postfix]
    }

    async fn assert_later(self, scene: &Scene, when: &str) {
        assert_eq!(
            self.ask(scene, when).await,
            [Answer::Later; 3],
            "{self:?}, {when}"
        );
    }

    async fn assert_right(self, scene: &Scene, when: &str) {
        let right = [Answer::Yes, Answer::No, Answer::Yes];
        assert_eq!(self.ask(scene, when).await, right, "{self:?}, {when}");
    }
}

/// Faults that a session shows at once, and those that only time shows.
fn faults(verb: &str) -> Vec<Fault> {
    let everywhere = [
        Fault::HangAfterAccept,
        Fault::HangBeforeReply,
        Fault::CloseMidReply(1),
        Fault::Garbage,
        Fault::EndlessLine,
        Fault::EndlessReply,
        Fault::Bye,
        Fault::CloseAfter(0),
        Fault::CloseAfter(1),
        Fault::Garbage.at("GREETING"),
        Fault::CloseMidReply(7).at("GREETING"),
    ];
    let at_the_question = [
        Fault::HangBeforeReply,
        Fault::CloseMidReply(0),
        Fault::CloseMidReply(5),
        Fault::Garbage,
        Fault::EndlessLine,
        Fault::EndlessReply,
        Fault::Bye,
    ];
    let at_the_question = at_the_question.into_iter().map(|fault| fault.at(verb));
    everywhere.into_iter().chain(at_the_question).collect()
}

fn strikes_new_sessions_only(fault: &Fault) -> bool {
    match fault {
        Fault::HangAfterAccept | Fault::CloseAfter(_) => true,
        Fault::At(verb, _) => verb == "GREETING",
        _ => false,
    }
}

/// Sessions that were asked before meet the fault as well as new ones.
async fn every_fault_is_later(way: Way) {
    let scene = way.scene().await;
    way.assert_right(&scene, "at first").await;
    for fault in faults(way.verb()) {
        scene.remote.set_fault(fault.clone());
        if strikes_new_sessions_only(&fault) {
            scene.remote.hang_up(false);
            scene.sessions_end().await;
        }
        way.assert_later(&scene, &format!("with {fault:?}")).await;
        scene.remote.set_fault(Fault::None);
        way.assert_right(&scene, &format!("after {fault:?}")).await;
    }
    scene.remote.stop().await;
    way.assert_later(&scene, "stopped").await;
    scene.remote.start_again().unwrap();
    way.assert_right(&scene, "started again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imap_logins_are_later_while_the_remote_fails() {
    every_fault_is_later(Way::ImapLogin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_logins_are_later_while_the_remote_fails() {
    every_fault_is_later(Way::SmtpLogin).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_recipients_are_later_while_the_remote_fails() {
    every_fault_is_later(Way::SmtpRecipient).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lmtp_recipients_are_later_while_the_remote_fails() {
    every_fault_is_later(Way::LmtpRecipient).await;
}

/// A reply is a reply once its line end is there, and not one byte before.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_cut_at_any_byte_is_no_answer() {
    for (way, yes, no) in [
        (
            Way::ImapLogin,
            "A1 OK Logged in\r\n",
            "A1 NO [AUTHENTICATIONFAILED] Authentication failed\r\n",
        ),
        (
            Way::SmtpLogin,
            "235 2.7.0 Welcome\r\n",
            "535 5.7.8 Authentication failed\r\n",
        ),
        (
            Way::LmtpRecipient,
            "250 2.1.5 Ok\r\n",
            "550 5.1.1 No such user here\r\n",
        ),
    ] {
        let scene = way.scene().await;
        for length in 0..yes.len() {
            scene
                .remote
                .set_fault(Fault::CloseMidReply(length).at(way.verb()));
            assert_eq!(way.good(&scene).await, Answer::Later, "{way:?} {length}");
        }
        for length in 0..no.len() {
            scene
                .remote
                .set_fault(Fault::CloseMidReply(length).at(way.verb()));
            assert_eq!(way.bad(&scene).await, Answer::Later, "{way:?} {length}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_at_a_time_is_read_rightly() {
    for way in [
        Way::ImapLogin,
        Way::SmtpLogin,
        Way::SmtpRecipient,
        Way::LmtpRecipient,
    ] {
        let scene = way.scene().await;
        scene.remote.set_fault(Fault::OneByteAtATime);
        way.assert_right(&scene, "byte by byte").await;
    }
}

/// More questions than sessions, all stuck: none waits for its turn beyond its own deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_before_a_stuck_remote_is_answered_in_time_and_recovers() {
    let scene = Way::SmtpRecipient.scene().await;
    for fault in [Fault::HangAfterAccept, Fault::HangBeforeReply.at("RCPT")] {
        scene.remote.set_fault(fault);
        scene.remote.hang_up(false);
        scene.sessions_end().await;
        let began = Instant::now();
        let asking = (0..60u16).map(|number| {
            let listener = scene.policy_socket();
            tokio::spawn(async move {
                let request = Rcpt {
                    port: number,
                    ..Rcpt::to(JANE)
                };
                meaning(&Client::connect(&listener).await.recipient(&request).await)
            })
        });
        for answer in asking.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), Answer::Later);
        }
        assert!(began.elapsed() < DEADLINE + SLACK, "{:?}", began.elapsed());
        scene.remote.set_fault(Fault::None);
        Way::SmtpRecipient.assert_right(&scene, "after the crowd").await;
    }
}
