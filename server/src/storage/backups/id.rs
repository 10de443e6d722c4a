//! Ids of backups: `20260131T235959.999Z-0000`, the time in UTC and a number within the millisecond.

/// Gives ids that only grow, also when the clock goes back.
#[derive(Debug)]
pub(super) struct IdSource {
    last: String,
    number: u32,
}

impl IdSource {
    /// Ids after `newest`, the newest there is.
    pub(super) fn after(newest: Option<&str>) -> Self {
        let (time, number) = newest.and_then(|id| id.split_once('-')).unwrap_or_default();
        Self {
            last: time.to_owned(),
            number: number.parse().unwrap_or_default(),
        }
    }

    /// The next id, at `now_ms` if the clock did not go back.
    pub(super) fn next(&mut self, now_ms: u64) -> String {
        let now = utc(now_ms);
        if now > self.last {
            (self.last, self.number) = (now, 0);
        } else {
            self.number += 1;
        }
        format!("{}-{:04}", self.last, self.number)
    }
}

/// Whether this can be an id. Ids come from callers and become file names.
pub(super) fn is_valid(id: &str) -> bool {
    let pattern = b"dddddddd?dddddd.ddd?-dddd";
    id.len() >= pattern.len()
        && id.len() <= pattern.len() + 2
        && id
            .bytes()
            .enumerate()
            .all(|(i, byte)| match pattern.get(i) {
                Some(b'd') | None => byte.is_ascii_digit(),
                Some(b'?') => byte == b'T' || byte == b'Z',
                Some(other) => byte == *other,
            })
}

/// A time in UTC, in letters that sort as it does.
fn utc(ms: u64) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}.{ms:03}Z")
}

/// The date of a day since 1970, in the proleptic Gregorian calendar: Howard Hinnant's `civil_from_days`. Years begin in
/// March there, so that the leap day is their last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(utc(0), "19700101T000000.000Z");
        assert_eq!(utc(951_782_400_000), "20000229T000000.000Z");
        assert_eq!(utc(1_793_366_399_999), "20261030T131959.999Z");
        assert_eq!(utc(4_107_542_400_123), "21000301T000000.123Z");
    }

    #[test]
    fn ids_grow_also_when_the_clock_goes_back() {
        let mut source = IdSource::after(Some("20000229T000000.000Z-0007"));
        let ids =
            [0, 951_782_400_000, 951_782_400_001, 951_782_400_001, 5].map(|now| source.next(now));
        assert!(
            ids.is_sorted() && ids.iter().all(|id| is_valid(id)),
            "{ids:?}"
        );
        assert_eq!(ids[0], "20000229T000000.000Z-0008");
        assert_eq!(ids[3], "20000229T000000.001Z-0001");
        for bad in [
            "",
            "../../etc/passwd",
            "20000229T000000.000Z",
            "20000229T000000.000Z-000/",
        ] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
