//! A login on a session that was ready before anybody asked.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use remote::{Authority, Protocol, Security};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

use crate::logins::{connector, log_in};
use crate::stage::{PASSWORD, Stage, median, options, user};
use crate::support::Scratch;
use crate::table::{Goal, Table};

const LATENCY: Duration = Duration::from_millis(20);
const LOGINS: usize = 31;

/// Between two logins the next session is opened: with TLS that takes five times the latency.
const PAUSE: Duration = Duration::from_millis(400);

pub(crate) fn measure(table: &mut Table) {
    let (scratch, authority) = (Scratch::new(), Authority::new().unwrap());
    let ca_file = scratch.path("ca.pem");
    authority.write_pem(&ca_file).unwrap();
    let mut options = options(Protocol::Imap);
    options.delays.latency = LATENCY;
    options.security = Security::Implicit(authority.issue(&["localhost"]).unwrap());
    let tls = format!("tls = {{ implicit = true, ca-file = \"{}\" }}", ca_file.display());
    let stage = Stage::new(options, "auth", &tls, "");
    let took = stage.runtime.block_on(async {
        let (reading, mut writing) = UnixStream::connect(stage.listener("auth"))
            .await
            .unwrap()
            .into_split();
        let mut lines = BufReader::new(reading).lines();
        writing.write_all(b"VERSION\t1\t2\nCPID\t77\n").await.unwrap();
        while lines.next_line().await.unwrap().unwrap() != "DONE" {}
        let mut took = Vec::new();
        for id in 1..=LOGINS {
            let resp = BASE64_STANDARD.encode(format!("\0{}\0{PASSWORD}", user(id)));
            let began = Instant::now();
            writing
                .write_all(format!("AUTH\t{id}\tPLAIN\tservice=imap\tresp={resp}\n").as_bytes())
                .await
                .unwrap();
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.starts_with("OK\t"), "{line}");
            took.push(began.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(PAUSE).await;
        }
        took
    });
    let latency = stage.runtime.block_on(async {
        let connector = connector(&authority);
        let mut took = Vec::new();
        for number in 0..LOGINS {
            let stream = TcpStream::connect(("127.0.0.1", stage.remote.port()))
                .await
                .unwrap();
            stream.set_nodelay(true).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await.unwrap();
            took.push(log_in(stream, number).await.as_secs_f64() * 1e3);
        }
        took
    });
    let (figure, latency) = (median(took), median(latency));
    table.row(
        "login by IMAP with TLS on a warm session, remote with 20 ms of latency: median over that latency",
        Goal::AtMost(1.1),
        figure / latency,
        "",
        format!("{figure:.2} ms, the remote's answer to a bare client {latency:.2} ms, medians of {LOGINS}"),
    );
}
