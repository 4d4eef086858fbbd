//! What sick remotes suffer, by chance.

use std::sync::Arc;
use std::time::Duration;

use remote::{Fault, Server};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::stage::COMMAND_TIMEOUT;
use crate::tally::{Tally, one_more};

/// Until the evening, when the remote is well again.
pub(crate) async fn suffer(
    remote: Arc<Server>,
    tally: Arc<Tally>,
    chance: Chance,
    evening: CancellationToken,
) {
    tokio::select! {
        () = fall_ill_again(&remote, &tally, &chance) => {}
        () = evening.cancelled() => {}
    }
    remote.set_fault(Fault::None);
    remote.start_again().unwrap();
}

async fn fall_ill_again(remote: &Server, tally: &Tally, chance: &Chance) {
    loop {
        sleep(chance.ms(200, 2500)).await;
        one_more(&tally.faults);
        match chance.among(0, 19) {
            // Refused connections.
            0 | 1 => {
                remote.stop().await;
                sleep(chance.ms(100, 2000)).await;
                remote.start_again().unwrap();
            }
            // A restart.
            2 | 3 => {
                remote.stop().await;
                remote.start_again().unwrap();
            }
            // Cut connections.
            4..=6 => remote.hang_up(false),
            7 | 8 => remote.hang_up(true),
            _ => {
                remote.set_fault(fault(chance));
                if chance.coin() {
                    remote.hang_up(false);
                }
                sleep(chance.ms(100, 2000)).await;
                remote.set_fault(Fault::None);
            }
        }
    }
}

fn fault(chance: &Chance) -> Fault {
    let verb = chance.one(&["RCPT", "AUTHENTICATE", "MAIL", "LHLO", "CAPABILITY", "GREETING"]);
    let fault = match chance.among(0, 12) {
        0 => return Fault::HangAfterAccept,
        // So late that it may be in time, and may not be.
        1 | 2 => {
            let longest = u64::try_from(COMMAND_TIMEOUT.as_millis()).unwrap() * 3 / 2;
            return Fault::Late(chance.ms(1, longest)).at("GREETING");
        }
        3 => return Fault::CloseAfter(chance.among(0, 20) as u32),
        4 | 5 => Fault::HangBeforeReply,
        6 | 7 => Fault::CloseMidReply(chance.among(0, 40) as usize),
        8 => Fault::Garbage,
        9 => Fault::Bye,
        10 => Fault::Late(Duration::from_millis(chance.among(1, 300))),
        11 if chance.coin() => Fault::EndlessLine,
        11 => Fault::EndlessReply,
        _ => Fault::OneByteAtATime,
    };
    if chance.coin() { fault.at(verb) } else { fault }
}
