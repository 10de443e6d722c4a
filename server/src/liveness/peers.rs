//! Which other servers live, judged by one's own clock: those whose beat changes.

use crate::storage::ServerId;
use std::collections::HashMap;

/// How long a server's beat may stay the same before others take its leases over. Each vouches once a second, so this is a
/// few lost beats; the leases lose nothing by it, for whoever takes them over gives each its whole time to live anew.
const GONE_MS: u64 = 5_000;

/// The beats of all servers, and since when each has been the same.
#[derive(Debug, Default)]
pub struct Peers(HashMap<ServerId, (i64, u64)>);

impl Peers {
    /// Takes note of all beats, and returns the servers that do not live any more: those that said so, and those whose beat
    /// has been the same for too long.
    pub fn see(
        &mut self,
        me: ServerId,
        servers: &[(ServerId, i64)],
        now: u64,
    ) -> Vec<(ServerId, i64)> {
        self.0
            .retain(|known, _| servers.iter().any(|(server, _)| server == known));
        let mut gone = Vec::new();
        for &(server, beat) in servers.iter().filter(|(server, _)| *server != me) {
            let seen = self.0.entry(server).or_insert((beat, now));
            if seen.0 != beat {
                *seen = (beat, now);
            }
            if beat < 0 || now.saturating_sub(seen.1) >= GONE_MS {
                gone.push((server, beat));
            }
        }
        gone
    }

    /// Forgets everything: whoever could not look for a while knows nothing of the others either.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: ServerId = ServerId(1);
    const OTHER: ServerId = ServerId(2);

    #[test]
    fn a_server_whose_beat_stands_still_for_five_seconds_is_gone() {
        let mut peers = Peers::default();
        for second in 0..5 {
            assert_eq!(peers.see(ME, &[(ME, 9), (OTHER, 7)], second * 1_000), []);
        }
        assert_eq!(peers.see(ME, &[(ME, 9), (OTHER, 8)], 5_000), [], "it lives");
        assert_eq!(peers.see(ME, &[(OTHER, 8)], 10_000), [(OTHER, 8)]);
    }

    #[test]
    fn a_server_that_left_is_gone_at_once_and_one_is_never_gone_oneself() {
        let mut peers = Peers::default();
        assert_eq!(peers.see(ME, &[(ME, -1), (OTHER, -1)], 0), [(OTHER, -1)]);
    }

    #[test]
    fn who_could_not_look_begins_to_count_anew() {
        let mut peers = Peers::default();
        peers.see(ME, &[(OTHER, 3)], 0);
        peers.forget();
        assert_eq!(peers.see(ME, &[(OTHER, 3)], 60_000), []);
    }
}
