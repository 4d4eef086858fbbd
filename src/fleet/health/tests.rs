use proptest::prelude::*;
use tokio::time::advance;

use super::*;

/// Edges, and the value in their store.
struct Site {
    edges: Vec<Arc<Board>>,
    key: FleetKey,
    board: Vec<u8>,
}

const DOMAIN: &str = "example.org";

/// Edges whose clocks are so many seconds ahead.
fn site(ahead: &[i64]) -> Site {
    let (key, began) = (FleetKey::new(&[1; 32]), Instant::now());
    let edge = |(number, ahead): (usize, &i64)| {
        let morning = UNIX_EPOCH + Duration::from_secs(1_800_000_000_u64.saturating_add_signed(*ahead));
        let outside = Outside {
            edge: format!("mx{number}"),
            clock: Clock::new(move || morning + began.elapsed()),
            ..Outside::default()
        };
        Arc::new(Board::new(&key, &outside))
    };
    Site {
        edges: ahead.iter().enumerate().map(edge).collect(),
        board: Vec::new(),
        key,
    }
}

impl Site {
    fn health(&self, edge: usize) -> Health {
        self.of(edge, "lmtp a")
    }

    fn of(&self, edge: usize, source: &str) -> Health {
        Health {
            board: self.edges[edge].clone(),
            key: self.key.clone(),
            source: self.key.source(source.as_bytes()),
        }
    }

    /// The second of an edge: where it has written, if it has.
    fn look(&mut self, edge: usize) -> Option<usize> {
        let (place, value) = self.edges[edge].take_in(&self.board)?;
        let end = (place + 1) * PLACE;
        if self.board.len() < end {
            self.board.resize(end, 0);
        }
        self.board[place * PLACE..end].copy_from_slice(&value);
        Some(place)
    }

    fn doubted(&mut self, edge: usize) -> Option<Arc<str>> {
        self.look(edge);
        self.health(edge).doubted_at(DOMAIN)
    }
}

#[tokio::test(start_paused = true)]
async fn a_doubt_is_one_of_all_until_the_canary_is_accepted_there() {
    let mut site = site(&[0, 0]);
    assert_eq!((site.look(0), site.doubted(1)), (None, None));
    site.health(0).refused(DOMAIN);
    assert!(
        site.look(0).is_some() && site.look(0).is_none(),
        "it is written once"
    );
    assert_eq!(site.doubted(1).as_deref(), Some("mx0"));
    assert_eq!(site.doubted(0), None, "it doubts by itself");
    for (source, domain) in [("lmtp a", "example.net"), ("lmtp b", DOMAIN)] {
        assert_eq!(site.of(1, source).doubted_at(domain), None);
    }
    advance(Duration::from_secs(7)).await;
    let doubting = Doubting {
        edge: "mx0".to_owned(),
        domains: 1,
        ago: Duration::from_secs(7),
    };
    assert_eq!(site.edges[1].report(), [doubting]);
    site.health(0).accepted(DOMAIN);
    assert!(site.look(0).is_some() && site.look(0).is_none());
    assert_eq!(site.doubted(1), None);
    assert_eq!(site.edges[1].report(), []);
}

// Fills DOUBTED_FOR.
#[tokio::test(start_paused = true)]
async fn a_doubt_ends_by_itself_and_does_not_come_back_with_an_old_board() {
    let mut site = site(&[0, 0]);
    site.health(0).refused(DOMAIN);
    site.look(0);
    let old = site.board.clone();
    advance(DOUBTED_FOR - Duration::from_secs(1)).await;
    assert!(site.doubted(1).is_some());
    advance(Duration::from_secs(1)).await;
    // Before it reads the board again, and then.
    assert_eq!(site.health(1).doubted_at(DOMAIN), None);
    assert_eq!(site.doubted(1), None);
    site.look(0);
    site.board = old;
    assert_eq!(site.doubted(1), None);
    // A canary that is refused again is another matter.
    site.health(0).refused(DOMAIN);
    site.look(0);
    assert!(site.doubted(1).is_some());
}

// Fills DOUBTS_AHEAD.
#[tokio::test(start_paused = true)]
async fn an_edge_whose_clock_is_far_ahead_is_no_matter() {
    let ahead = DOUBTS_AHEAD as i64;
    for (ahead, is_heard) in [(ahead, true), (ahead + 1, false), (-299, true), (-300, false)] {
        let mut site = site(&[ahead, 0]);
        site.health(0).refused(DOMAIN);
        site.look(0);
        assert_eq!(site.doubted(1).is_some(), is_heard, "{ahead}");
    }
}

// Fills PLACES.
#[tokio::test(start_paused = true)]
async fn each_edge_has_a_place_of_its_own_while_there_is_one() {
    let mut site = site(&[0; PLACES + 1]);
    for edge in 0..PLACES {
        // Each knows another domain, as well.
        site.health(edge).refused(&edge.to_string());
        assert!(site.look(edge).is_some());
    }
    assert_eq!(site.board.len(), PLACES * PLACE);
    assert!((0..PLACES).all(|edge| site.look(edge).is_none()));
    let last = PLACES;
    assert_eq!((site.look(last), site.edges[last].report().len()), (None, PLACES));
    site.health(last).refused(DOMAIN);
    assert!(site.look(last).is_some());
    // Whose place that was says it again.
    let lost: Vec<_> = (0..PLACES).filter_map(|edge| site.look(edge)).collect();
    assert_eq!(lost.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_edge_whose_place_is_taken_goes_to_another() {
    let mut site = site(&[0, 0, 0]);
    for edge in [0, 1] {
        site.health(edge).refused(&edge.to_string());
    }
    // Both look before either has written, and the second writes over the first.
    let (first, second) = (site.edges[0].take_in(&[]), site.edges[1].take_in(&[]));
    let doubts = site.edges[1].young(site.edges[1].clock.now());
    let (place, _) = first.unwrap();
    let over = Doubts {
        id: site.edges[1].id,
        edge: "mx1".to_owned(),
        of: doubts,
    };
    let seal = &site.edges[1].seal;
    let sealed = seal.close(&site.edges[1].name, place, &over, &Chance::default());
    site.board = vec![0; (place + 1) * PLACE];
    site.board[place * PLACE..].copy_from_slice(&sealed.unwrap());
    assert!(second.is_some());
    let moved = site.look(0).unwrap();
    assert_ne!(moved, place);
    site.look(2);
    assert_eq!(site.edges[2].report().len(), 2);
}

proptest! {
    /// A store that lies makes nobody doubt, whatever it does to the board.
    #[test]
    fn what_was_altered_is_no_doubt(bytes: Vec<u8>, at in 0_usize..PLACE, bit in 0_u8..8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _inside = runtime.enter();
        let mut site = site(&[0, 0]);
        site.health(0).refused(DOMAIN);
        let place = site.look(0).unwrap();
        site.board[place * PLACE + at] ^= 1 << bit;
        prop_assert_eq!(site.doubted(1), None);
        site.board = bytes;
        prop_assert_eq!(site.doubted(1), None);
    }
}
