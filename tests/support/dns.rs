//! A DNS server on loopback, for one zone that the test changes while it runs. It answers by UDP and by TCP.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, Rtype, Ttl};
use domain::rdata::{Mx, Srv};

/// What the server says of a name and type.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// MX records: preference and host.
    Mx(Vec<(u16, &'static str)>),
    /// SRV records: priority, weight, port and host.
    Srv(Vec<(u16, u16, u16, &'static str)>),
    /// The name is there, without such a record.
    Nothing,
    /// `NXDOMAIN`
    NoSuchName,
    /// `SERVFAIL`
    Fails,
    /// No reply at all.
    Silence,
}

type Zone = HashMap<(String, Rtype), Says>;

/// A running server. Its threads end with the test's process.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    zone: Mutex<Zone>,
    asked: AtomicUsize,
    cuts: bool,
}

impl Dns {
    /// One at this address, where port 0 is a free one; `None` where it is taken. With `cuts` its answers by UDP are cut
    /// short, so that a client comes by TCP.
    pub(crate) fn start(at: SocketAddr, cuts: bool) -> Option<Self> {
        let (udp, tcp) = sockets(at)?;
        let address = udp.local_addr().unwrap();
        let shared = Arc::new(Shared {
            zone: Mutex::default(),
            asked: AtomicUsize::new(0),
            cuts,
        });
        let ours = shared.clone();
        thread::spawn(move || {
            let mut query = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut query) {
                if let Some(answer) = ours.answer(&query[..length], ours.cuts) {
                    let _ = udp.send_to(&answer, from);
                }
            }
        });
        let ours = shared.clone();
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let _ = ours.serve(stream);
            }
        });
        Some(Self { address, shared })
    }

    /// One at a free port of 127.0.0.1.
    pub(crate) fn new() -> Self {
        Self::start((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap()
    }

    /// From now on it says this.
    pub(crate) fn says(&self, name: &str, rtype: Rtype, says: Says) {
        self.shared
            .zone
            .lock()
            .unwrap()
            .insert((name.to_owned(), rtype), says);
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

/// Both have the same port.
fn sockets(at: SocketAddr) -> Option<(UdpSocket, TcpListener)> {
    let mut tries = (0..100).map(|_| {
        let udp = UdpSocket::bind(at).ok()?;
        let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
        Some((udp, tcp))
    });
    tries.find_map(|sockets| sockets)
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut query)?;
        let Some(answer) = self.answer(&query, false) else {
            return Ok(());
        };
        stream.write_all(&(answer.len() as u16).to_be_bytes())?;
        stream.write_all(&answer)
    }

    fn answer(&self, query: &[u8], cut: bool) -> Option<Vec<u8>> {
        let query = Message::from_octets(query).ok()?;
        let question = query.sole_question().ok()?;
        let name = question.qname().to_string().to_ascii_lowercase();
        self.asked.fetch_add(1, Ordering::Relaxed);
        let says = {
            let zone = self.zone.lock().unwrap();
            let other = || match zone.keys().any(|(known, _)| *known == name) {
                true => Says::Nothing,
                false => Says::NoSuchName,
            };
            zone.get(&(name.clone(), question.qtype()))
                .cloned()
                .unwrap_or_else(other)
        };
        let rcode = match &says {
            Says::Silence => return None,
            Says::NoSuchName => Rcode::NXDOMAIN,
            Says::Fails => Rcode::SERVFAIL,
            _ => Rcode::NOERROR,
        };
        let mut answer = MessageBuilder::new_vec().start_answer(&query, rcode).ok()?;
        answer.header_mut().set_ra(true);
        if cut {
            answer.header_mut().set_tc(true);
            return Some(answer.finish());
        }
        let owner = Name::<Vec<u8>>::from_str(&name).ok()?;
        let ttl = Ttl::from_secs(300);
        let named = |host: &str| Name::<Vec<u8>>::from_str(host).unwrap();
        match says {
            Says::Mx(records) => {
                for (preference, host) in records {
                    answer
                        .push((&owner, ttl, Mx::new(preference, named(host))))
                        .unwrap();
                }
            }
            Says::Srv(records) => {
                for (priority, weight, port, host) in records {
                    let srv = Srv::new(priority, weight, port, named(host));
                    answer.push((&owner, ttl, srv)).unwrap();
                }
            }
            _ => {}
        }
        Some(answer.finish())
    }
}

/// A loopback address that no interface has: another machine, as far as vouch can tell.
pub(crate) fn elsewhere(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 83, 0, number).into()
}

/// The same as a host's name: the C library reads it as an address, and nothing else does.
pub(crate) fn name_of(number: u8) -> &'static str {
    format!("127.83.{number}").leak()
}
