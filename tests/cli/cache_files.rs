//! `cache.file`: what many of them cost a daemon, and files of another version.

use std::fmt::Write;
use std::fs;

use crate::outside::{World, listener, wait_until};
use crate::serve::Daemon;

/// The number behind `name:` in the status of a process.
fn of_process(id: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.unwrap().split_whitespace().next();
    number.unwrap().parse().unwrap()
}

/// A daemon with so many directories, each with a file where `with_files`.
fn start(world: &World, directories: usize, with_files: bool) -> Daemon {
    let mut config = String::new();
    let mut names = Vec::new();
    for number in 0..directories {
        let name = format!("d{number}");
        let _ = write!(
            config,
            "[directory.{name}]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {}\nlookup.domains = [\"{name}.example\"]\n",
            20_000 + number
        );
        if with_files {
            let _ = writeln!(config, "cache.file = \"{}\"", world.scratch.path(&name).display());
        }
        names.push(name);
    }
    config += &listener(
        "recipients",
        "policy",
        &world.scratch.path("policy"),
        &names.join("\", \""),
    );
    world.config(&config);
    Daemon::start(world)
}

/// Its threads, and the memory of its own that is resident, in KiB, once the files have been read and there is nothing to do.
fn costs(directories: usize, with_files: bool) -> (u64, u64) {
    let world = World::new();
    if with_files {
        // They are made, and read at the next start.
        let daemon = start(&world, directories, true);
        let read = || daemon.log().matches(": read ").count() == directories;
        wait_until("the files", read);
        assert_eq!(daemon.ends_by("TERM"), Some(0));
    }
    let daemon = start(&world, directories, with_files);
    let id = daemon.process.id();
    let files = if with_files { directories } else { 0 };
    wait_until("the files", || daemon.log().matches(": read ").count() == files);
    // Those of the files, and the one that reads the trust anchors at each start.
    let passes = |thread: fs::DirEntry| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| ["vouch-store", "vouch-roots"].contains(&name.trim()))
    };
    wait_until("the end of the threads", || {
        let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
        !threads.flatten().any(passes)
    });
    let costs = (of_process(id, "Threads"), of_process(id, "RssAnon"));
    assert_eq!(daemon.ends_by("TERM"), Some(0));
    costs
}

#[test]
fn an_empty_file_costs_no_thread_and_little_memory() {
    const MORE: u64 = 100;
    let [few, many] = [4, 4 + MORE as usize].map(|directories| {
        let (threads, without) = costs(directories, false);
        let (threads_with, with) = costs(directories, true);
        assert_eq!(threads_with, threads);
        with.saturating_sub(without)
    });
    let each = many.saturating_sub(few) / MORE;
    println!("{each} KiB each");
    // Some 90 here; the allocator of another system may round differently.
    assert!(each < 128, "an empty file costs {each} KiB");
}
