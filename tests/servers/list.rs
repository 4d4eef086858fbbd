//! `address = ["…", "…"]`: the first that opens a session is asked, and no other about the same.

use remote::{Account, Authority, Fault, Options, Protocol, Security, Server};

use crate::asker::Answer;
use crate::machine::{FORGETFUL, JANE, Machine, NOBODY, PASSWORD};
use crate::support::Scratch;

fn server(password: &str) -> Server {
    Server::start(Options::new(Protocol::Smtp).account(Account::new(JANE, password))).unwrap()
}

fn address(servers: &[&Server]) -> String {
    let all: Vec<_> = servers
        .iter()
        .map(|it| format!("\"127.0.0.1:{}\"", it.port()))
        .collect();
    format!("address = [{}]\n{FORGETFUL}", all.join(", "))
}

/// Logins that a server was asked to check.
fn logins(server: &Server) -> u64 {
    server.count("AUTH")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_that_opens_a_session_is_asked() {
    let [refusing, silent, busy, good] = [(); 4].map(|()| server(PASSWORD));
    refusing.stop().await;
    silent.set_fault(Fault::HangAfterAccept);
    busy.set_fault(Fault::Bye.at("GREETING"));
    let keys = address(&[&refusing, &silent, &busy, &good]);
    let machine = Machine::start(Scratch::new(), &keys, true, &[], "").await;
    assert_eq!(machine.recipient(JANE).await, Answer::Yes);
    assert_eq!(machine.recipient(NOBODY).await, Answer::No);
    assert_eq!(machine.login(JANE, PASSWORD).await, Answer::Yes);
    assert_eq!(machine.login(JANE, "wrong").await, Answer::No);
    assert_eq!(logins(&good), 2, "each once");
    assert_eq!(good.count("RCPT"), 2);
    for other in [&silent, &busy] {
        assert_eq!(logins(other) + other.count("RCPT"), 0);
    }
    // Each failure names its server, its step, what was said, and who stands in.
    let stands_in = format!("mail (127.0.0.1:{}) is called instead", good.port());
    for (server, said) in [
        (&refusing, "connect: 127.0.0.1:"),
        (&silent, "opening: no session in its part of the time"),
        (&busy, "greeting: 421"),
    ] {
        let name = format!("WARN mail (127.0.0.1:{}): {said}", server.port());
        machine.logged(&[&name, &stands_in]).await;
    }
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_to_one_server_whatever_becomes_of_it() {
    // The other would take the password that the first does not.
    let (first, other) = (server("another-one"), server(PASSWORD));
    let machine = Machine::start(Scratch::new(), &address(&[&first, &other]), true, &[], "").await;
    assert_eq!(
        machine.login(JANE, PASSWORD).await,
        Answer::No,
        "refused at the first"
    );
    assert_eq!(machine.recipient(NOBODY).await, Answer::No);
    let mut asked = logins(&first);
    assert_eq!(asked, 1);
    for fault in [
        Fault::Bye,
        Fault::CloseMidReply(0),
        Fault::CloseMidReply(5),
        Fault::Garbage,
        Fault::reply_with("AUTH", "454 4.7.0 Temporary authentication failure"),
        Fault::reply_with("AUTH", "421 4.3.0 Going down"),
        Fault::reply_with("AUTH", "503 5.5.1 Bad sequence of commands"),
    ] {
        let name = format!("{fault:?}");
        first.set_fault(match fault {
            fault @ Fault::ReplyWith { .. } => fault,
            fault => fault.at("AUTH"),
        });
        assert_eq!(machine.login(JANE, PASSWORD).await, Answer::Later, "{name}");
        assert_eq!(logins(&first), asked + 1, "{name}");
        asked += 1;
        assert_eq!(logins(&other), 0, "{name}: the other server got the password");
    }
    // One that is gone before the secret is sent is passed by.
    first.stop().await;
    assert_eq!(machine.login(JANE, PASSWORD).await, Answer::Yes);
    assert_eq!((logins(&first), logins(&other)), (asked, 1));
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_has_a_certificate_of_its_own_name() {
    let scratch = Scratch::new();
    let authority = Authority::new().unwrap();
    authority.write_pem(scratch.path("ca.pem")).unwrap();
    let server = |name: &str| {
        let mut options = Options::new(Protocol::Smtp).account(Account::new(JANE, PASSWORD));
        options.security = Security::StartTls(authority.issue(&[name]).unwrap());
        Server::start(options).unwrap()
    };
    let (wrong, right) = (server("mail.example.net"), server("localhost"));
    let keys = format!(
        "address = [\"127.0.0.1:{}\", \"localhost:{}\"]\ntls.starttls = \"required\"\ntls.ca-file = \"{}\"\n{FORGETFUL}",
        wrong.port(),
        right.port(),
        scratch.text("ca.pem")
    );
    let machine = Machine::start(scratch, &keys, true, &[], "").await;
    assert_eq!(machine.login(JANE, PASSWORD).await, Answer::Yes);
    assert_eq!((logins(&wrong), logins(&right)), (0, 1));
    let name = format!("WARN mail (127.0.0.1:{}): TLS handshake: ", wrong.port());
    machine
        .logged(&[&name, "mail.example.net, and not for 127.0.0.1"])
        .await;
    machine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_none_opens_a_session_there_is_no_answer_and_each_is_named() {
    let (refusing, busy) = (server(PASSWORD), server(PASSWORD));
    refusing.stop().await;
    busy.set_fault(Fault::Bye.at("GREETING"));
    let machine = Machine::start(Scratch::new(), &address(&[&refusing, &busy]), true, &[], "").await;
    assert_eq!(machine.recipient(JANE).await, Answer::Later);
    assert_eq!(machine.recipient(NOBODY).await, Answer::Later);
    assert_eq!(machine.login(JANE, PASSWORD).await, Answer::Later);
    let [first, second] = [&refusing, &busy].map(|it| format!("mail (127.0.0.1:{})", it.port()));
    machine
        .logged(&[
            "WARN",
            &format!("{first}: connect"),
            &format!("; {second}: greeting: 421"),
        ])
        .await;
    busy.set_fault(Fault::None);
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(40);
    while machine.recipient(JANE).await != Answer::Yes {
        assert!(tokio::time::Instant::now() < end);
    }
    machine.stop().await;
}
