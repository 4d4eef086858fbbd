//! A disk that is full under the file of recipients.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use remote::Server;

use crate::asker::{Answer, Rcpt, meaning};
use crate::machine::{Machine, has_namespaces, options};
use crate::support::{Process, Scratch};

/// A small disk that vanishes with the process that holds it.
struct Disk {
    holder: Process,
    folder: String,
}

impl Disk {
    fn new(scratch: &Scratch) -> Self {
        let folder = scratch.folder("disk").to_str().unwrap().to_owned();
        let made = scratch.path("disk/made");
        let mut command = Command::new("unshare");
        command
            .args(["-m", "/bin/sh", "-ec"])
            .arg("mount -t tmpfs -o size=4m none \"$1\"; touch \"$1/made\"; exec sleep 1000");
        command.args(["sh", &folder]);
        let holder = Process::start(scratch, "disk", &mut command);
        let disk = Self { holder, folder };
        crate::support::process::wait_until("the disk", Duration::from_secs(40), || {
            disk.path("made").exists() && !made.exists()
        });
        disk
    }

    /// A file on it, as seen from outside.
    fn path(&self, name: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.holder.id().to_string())
            .join("root")
            .join(self.folder.trim_start_matches('/'))
            .join(name)
    }

    fn fill(&self) {
        let mut file = File::create(self.path("filler")).unwrap();
        for size in [4096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.path("filler")).unwrap();
    }
}

// Fills writer::FIRST_PAUSE, writer::LAST_PAUSE.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_while_the_disk_is_full_is_written_later() {
    if !has_namespaces() {
        return;
    }
    let mut options = options();
    options.catch_all = true;
    options.record = false;
    let remote = Server::start(options).unwrap();
    let scratch = Scratch::new();
    let disk = Disk::new(&scratch);
    let keys = format!(
        "cache.file = \"{}/cache.redb\"\nlimits = {{ rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }}\n",
        disk.folder
    );
    let holder = disk.holder.id().to_string();
    let within = ["nsenter", "-m", "-t", &holder, "--"];
    let machine = Machine::new(scratch, &remote.address().to_string(), &keys)
        .start(&within, ":")
        .await;
    machine
        .logged(": read directory=remote recipients=0", async || {})
        .await;
    disk.fill();
    let mut client = machine.client().await;
    let mut number = 0;
    let refused = machine
        .logged("No space left on device", async || {
            for _ in 0..50 {
                number += 1;
                let name = format!("a-rather-long-name-of-a-recipient-{number}@example.org");
                assert_eq!(meaning(&client.recipient(&Rcpt::to(&name)).await), Answer::Yes);
            }
        })
        .await;
    assert!(
        refused.contains("cache.redb") && refused.contains("ERROR"),
        "{refused}"
    );
    // It goes on without, also past further tries, and does not say so again.
    let last = "found-while-the-disk-was-full@example.org";
    assert_eq!(meaning(&client.recipient(&Rcpt::to(last)).await), Answer::Yes);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(machine.ask(last).await, Answer::Yes);
    }
    assert_eq!(machine.count("No space left on device"), 1, "{}", machine.log());
    disk.empty();
    machine.logged("cache.redb: in order again", async || {}).await;
    // The next life of the daemon knows it without asking.
    let machine = machine.stop().await;
    remote.stop().await;
    let machine = machine.start(&within, ":").await;
    machine
        .logged(": read directory=remote recipients=", async || {})
        .await;
    let log = machine.log();
    assert!(!log.contains("ERROR") && !log.contains("corrupt"), "{log}");
    assert_eq!(machine.ask(last).await, Answer::Yes);
    assert_eq!(machine.ask("asked-by-nobody@example.org").await, Answer::Later);
    drop(machine);
}
