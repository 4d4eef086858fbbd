//! A remote whose name cannot be looked up, at the start and until later.

use std::fs;

use remote::Server;

use crate::asker::Answer;
use crate::machine::{FORGETFUL, JANE, Machine, NOBODY, has_namespaces, options};
use crate::support::Scratch;

const NAME: &str = "mail.vouch-test.example";

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_known_later_is_found_later() {
    if !has_namespaces() {
        return;
    }
    let scratch = Scratch::new();
    let hosts = scratch.write("hosts", "127.0.0.1 localhost\n");
    // Nobody answers there.
    scratch.write(
        "resolv.conf", "nameserver 127.0.0.254\noptions timeout:1 attempts:1\n",
    );
    scratch.write("nsswitch.conf", "hosts: files dns\n");
    let laid: String = ["hosts", "resolv.conf", "nsswitch.conf"]
        .map(|file| {
            let ours = scratch.text(file);
            format!("if [ -e /etc/{file} ]; then mount --bind {ours} /etc/{file}; fi\n")
        })
        .concat();
    let remote = Server::start(options()).unwrap();
    let machine = Machine::new(scratch, &format!("{NAME}:{}", remote.port()), FORGETFUL)
        .start(&["unshare", "-m"], &laid)
        .await;
    for _ in 0..20 {
        assert_eq!(machine.ask(JANE).await, Answer::Later);
        assert_eq!(machine.ask(NOBODY).await, Answer::Later);
    }
    let said = machine.logged("class=unreachable", async || {}).await;
    assert!(
        said.contains(NAME) && said.contains("look-up of its name"),
        "{said}"
    );
    assert_eq!(machine.count("class=unreachable"), 1, "{}", machine.log());
    // In place, since it is this very file that is laid over the machine's.
    fs::write(&hosts, format!("127.0.0.1 localhost {NAME}\n")).unwrap();
    machine.is_right_again().await;
    let again = machine.logged("answers again", async || {}).await;
    assert!(again.contains(NAME), "{again}");
}
