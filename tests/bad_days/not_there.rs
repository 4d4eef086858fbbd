//! A remote that is not there when the daemon starts.

use remote::{Listen, Options, Server};

use crate::asker::Answer;
use crate::machine::{FORGETFUL, JANE, Machine, NOBODY, options};
use crate::support::Scratch;

/// The daemon is there, says later to everybody, and what is wrong once.
async fn is_later(machine: &Machine, why: &str) {
    for _ in 0..20 {
        assert_eq!(machine.ask(JANE).await, Answer::Later);
        assert_eq!(machine.ask(NOBODY).await, Answer::Later);
    }
    let said = machine.logged("class=unreachable", async || {}).await;
    assert!(said.contains(why), "{said}");
    assert_eq!(machine.count("class=unreachable"), 1, "{}", machine.log());
}

async fn is_right(machine: &Machine) {
    machine.is_right_again().await;
    machine.logged("answers again", async || {}).await;
    assert_eq!(machine.count("answers again"), 1, "{}", machine.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_that_is_down_at_the_start_is_asked_when_it_is_up() {
    let remote = Server::start(options()).unwrap();
    remote.stop().await;
    let machine = Machine::new(Scratch::new(), &remote.address().to_string(), FORGETFUL)
        .start(&[], ":")
        .await;
    is_later(&machine, "Connection refused").await;
    remote.start_again().unwrap();
    is_right(&machine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_folder_is_not_there_at_the_start_is_asked_later() {
    let scratch = Scratch::new();
    let socket = scratch.path("private/lmtp");
    let machine = Machine::new(scratch, socket.to_str().unwrap(), FORGETFUL)
        .start(&[], ":")
        .await;
    is_later(&machine, "No such file or directory").await;
    machine.scratch.folder("private");
    let listen = Listen::Unix(socket);
    let _remote = Server::start(Options { listen, ..options() }).unwrap();
    is_right(&machine).await;
}
