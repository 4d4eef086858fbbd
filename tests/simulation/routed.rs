//! Days at two remotes of one directory, whose map says which of them has which domain (`lookup.routes`). What holds of one
//! remote holds of each, and besides:
//!
//! - neither is ever asked about a domain of the other, which [`World::said`] sees;
//! - one that is down delays nobody's answer beyond its deadline, and makes no answer of the other.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use vouch::address::Domain;
use vouch::config::{Directory, read};
use vouch::settings::address::RemoteAddress;
use vouch::settings::kind::Kind;

use crate::askers::Tally;
use crate::chance::Chance;
use crate::lived;
use crate::paused;
use crate::stale::downs;
use crate::trace::Trace;
use crate::world::World;

/// Each is such a day.
const SEEDS: u64 = 150;

/// The remotes: the domain and port of each.
const REMOTES: [(&str, u16); 2] = [("a.test", 2401), ("b.test", 2402)];

impl World {
    /// The first remote, with the other beside it. Both are asked by the same keys.
    fn with_a_map(seed: u64, trace: &Trace) -> Self {
        let mut world = Self::new(seed, trace.clone());
        let mut other = Self::new(seed ^ (1 << 40), trace.clone());
        world.directory.kind = world.chance.one(&[Kind::Imap, Kind::Smtp, Kind::Lmtp]);
        other.directory = world.directory.clone();
        (other.rcpt, other.rcpt_errors, other.auth_errors) =
            (world.rcpt, world.rcpt_errors, world.auth_errors);
        for (remote, (domain, port)) in [&mut world, &mut other].into_iter().zip(REMOTES) {
            let host = RemoteAddress::Host {
                name: "127.0.0.1".to_owned(),
                port: Some(port),
            };
            remote.directory.address = host.into();
            remote.directory.lookup.domains.all = Domain::parse(domain).into_iter().collect();
        }
        other.downs = downs(&other.chance, other.began, Duration::from_secs(30));
        world.siblings = vec![Arc::new(other)];
        world
    }

    /// Its directory, with the map in that folder.
    fn directory_by_map(&self, folder: &Path) -> Result<Directory, String> {
        let map = folder.join("routes");
        let lines = REMOTES.map(|(domain, port)| format!("{domain} 127.0.0.1:{port}\n"));
        fs::write(&map, lines.concat()).map_err(|error| error.to_string())?;
        let text = format!(
            "[directory.remote]\ntype = \"{}\"\nlookup.routes = \"file://{}\"\n",
            self.directory.kind,
            map.display()
        );
        let (config, _) = read::parse(Path::new("vouch.toml"), &text).map_err(|error| error.to_string())?;
        let mut directory = self.directory.clone();
        directory.lookup.domains = Default::default();
        directory.lookup.routes = config.directory.into_iter().find_map(|read| read.lookup.routes);
        Ok(directory)
    }
}

#[test]
fn a_map_leads_each_question_to_its_own_remote() {
    let folder = tempfile::tempdir();
    let Ok(folder) = folder else {
        panic!("no temporary folder: {folder:?}");
    };
    let (mut accepted, mut rejected, mut stale) = (0, 0, 0);
    for seed in 1..=SEEDS {
        let traced = std::env::var("VOUCH_ROUTED").is_ok_and(|wanted| wanted == seed.to_string());
        let trace = if traced { Trace::Told } else { Trace::Nowhere };
        let _log = trace.takes_the_log();
        match day(seed, &trace, folder.path()) {
            Ok(tally) => {
                accepted += tally.accepted.load(Ordering::Relaxed);
                rejected += tally.rejected.load(Ordering::Relaxed);
                stale += tally.stale.load(Ordering::Relaxed);
            }
            Err(why) => panic!("seed {seed}: {why}\nVOUCH_ROUTED={seed} tells every event"),
        }
    }
    eprintln!(
        "{SEEDS} seeds: {accepted} accepted, {stale} of them while their remote was down, {rejected} rejected"
    );
    assert!(accepted > 20 * SEEDS && rejected > 20 * SEEDS && stale > 0);
}

fn day(seed: u64, trace: &Trace, folder: &Path) -> Result<Arc<Tally>, String> {
    paused::run(async {
        let world = Arc::new(World::with_a_map(seed, trace));
        world.note(|| format!("seed {seed}: {:#?}", world.directory));
        let directory = world.directory_by_map(folder)?;
        lived(world, vec![directory], Chance::of_vouch(seed)).await
    })
}
