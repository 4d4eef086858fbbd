//! The floor under every answer: a server on a Unix socket that only sends back what it reads.

use std::path::Path;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::stage::runtime;
use crate::support::{Process, Scratch};

/// The argument that makes this program the server.
pub(crate) const ROLE: &str = "echo";

/// Starts it as a process of its own.
pub(crate) fn start(scratch: &Scratch, socket: &Path) -> Process {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(ROLE).arg(socket);
    let mut process = Process::start(scratch, "echo", &mut command);
    process.wait_for_socket(socket);
    process
}

/// Serves until it is killed.
pub(crate) fn serve(socket: &Path) {
    runtime().block_on(async {
        let listener = UnixListener::bind(socket).unwrap();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                    if stream.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}
