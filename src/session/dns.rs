//! Questions to DNS that the system's resolver has no call for: MX and SRV records, with the time for which they hold.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::rdata::ParseRecordData;
use domain::base::{Name, ParsedName, Rtype};
use domain::rdata::{Mx, Srv};
use domain::resolv::StubResolver;
use domain::resolv::stub::Answer;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use tokio::time::timeout;

/// Bound (sessions): look-up of MX or SRV records. Beyond: no answer; the last one serves, if there is one. Why: as long
/// as the look-up of a server's name may take.
const RECORDS_TIMEOUT: Duration = Duration::from_secs(5);

/// Bound (sessions): MX or SRV records of a name that are used, the first in the order of their preference. Beyond: the
/// others are ignored. Why: no domain has more, and the name's owner could make vouch look up thousands of names.
const RECORDS: usize = 16;

/// Which servers are asked.
#[derive(Clone, Default)]
pub struct Resolver {
    /// Those of `/etc/resolv.conf`, unless there is one here.
    server: Option<SocketAddr>,
    /// What is said in their place.
    #[cfg(test)]
    said: Option<std::sync::Arc<dyn Fn() -> io::Result<Said> + Send + Sync>>,
}

/// What DNS said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// There are records, which hold for so long.
    Records(Vec<Record>, Duration),
    /// There are none of this kind.
    NoRecords,
    /// There is no such name.
    NoSuchName,
}

/// A server in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The preference of an MX record, the priority of an SRV record: the lowest comes first.
    pub(super) preference: u16,
    /// The part of the sessions that an SRV record's server gets among equals.
    pub(super) weight: u16,
    /// The port of an SRV record.
    pub(super) port: Option<u16>,
    /// The host's name; `.` for none (RFC 7505, RFC 2782).
    pub(super) host: String,
}

impl Resolver {
    /// The one at this address alone.
    pub fn at(server: SocketAddr) -> Self {
        Self {
            server: Some(server),
            #[cfg(test)]
            said: None,
        }
    }

    #[cfg(test)]
    pub(super) fn scripted(said: impl Fn() -> io::Result<Said> + Send + Sync + 'static) -> Self {
        Self {
            said: Some(std::sync::Arc::new(said)),
            ..Self::default()
        }
    }

    /// The MX records of a domain.
    ///
    /// # Errors
    /// Nobody knows: there is no answer, or one that says no more.
    pub(super) async fn mx(&self, domain: &str) -> io::Result<Said> {
        #[cfg(test)]
        if let Some(said) = &self.said {
            return said();
        }
        let answer = self.ask(domain, Rtype::MX).await?;
        read(&answer, |mx: &Mx<_>| Record {
            preference: mx.preference(),
            weight: 1,
            port: None,
            host: host(mx.exchange()),
        })
    }

    /// The SRV records of a name.
    ///
    /// # Errors
    /// As for [`Self::mx`].
    pub(super) async fn srv(&self, name: &str) -> io::Result<Said> {
        #[cfg(test)]
        if let Some(said) = &self.said {
            return said();
        }
        let answer = self.ask(name, Rtype::SRV).await?;
        read(&answer, |srv: &Srv<_>| Record {
            preference: srv.priority(),
            weight: srv.weight(),
            port: Some(srv.port()),
            host: host(srv.target()),
        })
    }

    async fn ask(&self, name: &str, rtype: Rtype) -> io::Result<Answer> {
        let name = Name::<Vec<u8>>::from_str(name).map_err(io::Error::other)?;
        let resolver = StubResolver::from_conf(self.conf());
        let asked = timeout(RECORDS_TIMEOUT, resolver.query((name, rtype)));
        asked
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// The file is read each time: whatever manages the network writes it anew.
    fn conf(&self) -> ResolvConf {
        let Some(server) = self.server else {
            return ResolvConf::default();
        };
        let mut conf = ResolvConf::new();
        conf.servers.push(ServerConf::new(server, Transport::UdpTcp));
        conf.finalize();
        conf
    }
}

/// A name in lower case; the root is `.`.
fn host(name: &ParsedName<impl AsRef<[u8]>>) -> String {
    if name.is_root() {
        return ".".to_owned();
    }
    name.to_string().to_ascii_lowercase()
}

/// The records of one type in an answer, behind its aliases.
fn read<'a, T>(answer: &'a Answer, record: impl Fn(&T) -> Record) -> io::Result<Said>
where
    T: ParseRecordData<'a, bytes::Bytes>,
{
    let malformed = || io::Error::other("its answer is malformed");
    match answer.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Ok(Said::NoSuchName),
        other => return Err(io::Error::other(format!("it says {other}"))),
    }
    let owner = answer.canonical_name().ok_or_else(malformed)?;
    let mut records = Vec::new();
    let mut holds = Duration::MAX;
    for found in answer.answer().map_err(|_| malformed())?.limit_to_in::<T>() {
        let found = found.map_err(|_| malformed())?;
        if *found.owner() == owner {
            holds = holds.min(found.ttl().into_duration());
            records.push(record(found.data()));
        }
    }
    if records.is_empty() {
        return Ok(Said::NoRecords);
    }
    records.sort_by_key(|record| record.preference);
    records.truncate(RECORDS);
    Ok(Said::Records(records, holds))
}
