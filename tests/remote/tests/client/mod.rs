//! A client that sends what it is told, byte for byte, and never waits for long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use remote::{Address, Authority, Server};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

#[allow(dead_code, reason = "each test file uses a part")]
impl Client {
    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            input: Vec::new(),
        }
    }

    pub(crate) async fn connect(server: &Server) -> Self {
        match server.address() {
            Address::Tcp(address) => Self::over(TcpStream::connect(address).await.unwrap()),
            Address::Unix(path) => Self::over(UnixStream::connect(path).await.unwrap()),
            Address::Nowhere => panic!("nowhere to connect to"),
        }
    }

    /// Connects and reads the greeting.
    pub(crate) async fn greeted(server: &Server) -> Self {
        let mut client = Self::connect(server).await;
        client.reply().await;
        client
    }

    pub(crate) async fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn send(&mut self, line: &str) {
        self.raw(format!("{line}\r\n")).await;
    }

    /// Sends a line and reads the reply.
    pub(crate) async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.reply().await
    }

    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                return String::from_utf8_lossy(&line[..end]).into_owned();
            }
            let count = self.read().await;
            assert!(
                count > 0,
                "closed after {:?}",
                String::from_utf8_lossy(&self.input)
            );
        }
    }

    /// All lines of a reply, joined by LF: `250-` lines, or untagged lines but a greeting or a goodbye.
    pub(crate) async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line().await;
            let goes_on = line.as_bytes().get(3) == Some(&b'-')
                || (line.starts_with("* ")
                    && !["* OK", "* BYE", "* BAD"]
                        .iter()
                        .any(|last| line.starts_with(last)));
            reply.push_str(&line);
            if !goes_on {
                return reply;
            }
            reply.push('\n');
        }
    }

    /// What comes until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read().await > 0 {}
        std::mem::take(&mut self.input)
    }

    /// Whether nothing comes for a moment.
    pub(crate) async fn silent(&mut self) -> bool {
        let mut chunk = [0; 64];
        tokio::time::timeout(Duration::from_millis(150), self.stream.read(&mut chunk))
            .await
            .is_err()
    }

    pub(crate) async fn tls(self, authority: &Authority, name: &str) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, self.stream)
            .await?;
        Ok(Self::over(stream))
    }

    async fn read(&mut self) -> usize {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk))
            .await
            .expect("nothing came");
        // A reset is a close.
        let count = read.unwrap_or(0);
        self.input.extend_from_slice(&chunk[..count]);
        count
    }
}
