//! The two pools of a directory at servers of SMTP and LMTP, most of which bear four connections in all.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ::remote::options::Listen;
use ::remote::{Account, Options, Protocol, Server};
use tokio::io::duplex;
use tokio::time::{Instant, sleep};
use vouch::address::Address;
use vouch::chance::Chance;
use vouch::config::read;
use vouch::daemon;
use vouch::engine::CachedDirectory;
use vouch::session::Error;
use vouch::session::connect::{Dial, Dialled};
use vouch::verdict::{Client, Kind, Question, Verdict};

use crate::{GOOD, ask, login, ms};

/// Connections that the remote bears.
const BEARS: usize = 4;

const USERS: u64 = 1000;

struct Here(Server);

impl Dial for Here {
    fn dial<'a>(
        &'a self,
        _: &'a Arc<str>,
        _: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async {
            sleep(ms(1)).await;
            let (ours, theirs) = duplex(1 << 16);
            tokio::spawn(self.0.serve(theirs));
            Ok(Dialled {
                stream: Box::new(ours),
                reached: None,
            })
        })
    }
}

fn start(mut options: Options) -> Arc<Here> {
    options.listen = Listen::Nowhere;
    options.record = false;
    Arc::new(Here(Server::start(options).unwrap()))
}

fn remote() -> Arc<Here> {
    let mut options = Options::new(Protocol::Smtp).offering(&["ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN"]);
    options.limits.sessions = Some(BEARS);
    options.delays.reply = ms(10);
    options.accounts = (0..USERS)
        .map(|number| {
            let mut account = Account::new(&name(number), GOOD);
            account.delay = ms(80);
            account
        })
        .collect();
    start(options)
}

fn directory(kind: &str, remote: &Arc<Here>) -> Arc<CachedDirectory> {
    let text = "[directory.mail]\ntype = \"KIND\"\naddress = \"127.0.0.1\"\ntls.starttls = \"never\"\n\
                cache.entries = 0\nlimits.rcpt = \"unlimited\"\nlookup.domains = [\"example.org\"]\n\
                [listener.policy]\nprotocol = \"policy\"\nsocket = \"/tmp/policy\"\ndirectory = [\"mail\"]\n";
    let text = text.replace("KIND", kind);
    let config = read::parse(Path::new("both.toml"), &text).unwrap().0;
    let remote = remote.clone();
    let members = daemon::members_by(&config, None, None, &Chance::default(), move |_, to| {
        to.dial = remote.clone();
    });
    members.unwrap().into_iter().next().unwrap()
}

fn name(nth: u64) -> String {
    format!("u{}@example.org", nth % USERS)
}

fn recipient(nth: u64) -> Question {
    Question {
        kind: Kind::Recipient(Address::from_unquoted(name(nth).as_bytes()).unwrap()),
        client: Client::default(),
    }
}

fn good_login(nth: u64) -> Question {
    login(&name(nth), GOOD)
}

#[tokio::test(start_paused = true)]
async fn recipients_and_logins_share_what_the_remote_bears() {
    let remote = remote();
    let member = directory("smtp", &remote);
    let (recipients, logins) = tokio::join!(
        ask(&member, 1500, ms(40), ms(5000), recipient),
        ask(&member, 300, ms(200), ms(8000), good_login),
    );
    assert_eq!((recipients.good(), logins.good()), (1500, 300));
}

/// What the other pool's sessions hold while they wait for questions is given up at once.
#[tokio::test(start_paused = true)]
async fn idle_sessions_give_way_to_the_other_pool() {
    let remote = remote();
    let member = directory("smtp", &remote);
    for _ in 0..5 {
        let recipients = ask(&member, 40, ms(0), ms(5000), recipient).await;
        assert_eq!(recipients.good(), 40);
        let logins = ask(&member, 8, ms(0), ms(8000), good_login).await;
        assert_eq!(logins.good(), 8);
        assert!(logins.p95() <= Duration::from_secs(1), "{:?}", logins.p95());
        sleep(ms(1000)).await;
    }
}

/// What takes longer to open than an answer takes is opened all the same.
#[tokio::test(start_paused = true)]
async fn every_session_is_used_of_a_remote_that_opens_them_slowly() {
    let mut options = Options::new(Protocol::Lmtp).offering(&["ENHANCEDSTATUSCODES"]);
    options.domains = vec!["example.org".to_owned()];
    options.catch_all = true;
    options.delays.latency = ms(500);
    let remote = start(options);
    let member = directory("lmtp", &remote);
    let new = |nth| Question {
        kind: Kind::Recipient(Address::from_unquoted(format!("r{nth}@example.org").as_bytes()).unwrap()),
        client: Client::default(),
    };
    // Three times as many as ten sessions can answer.
    let asked = ask(&member, 1800, Duration::from_micros(16_667), ms(5000), new).await;
    assert_eq!(remote.0.most_open(), 10);
    // Nothing is answered in the first two seconds.
    let answered = asked
        .0
        .iter()
        .filter(|(verdict, _)| !matches!(verdict, Verdict::Defer(_)));
    let answered = answered.count();
    assert!(answered >= 19 * 28, "{answered}");
}
