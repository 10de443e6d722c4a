//! The name by which holders, servers and rows know a lease.

use std::fmt;

/// The name of a lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl LeaseId {
    /// The lease that these 16 hexadecimal digits name.
    #[must_use]
    pub fn parse(digits: &str) -> Option<Self> {
        let is_number = digits.len() == 16 && digits.bytes().all(|c| c.is_ascii_hexdigit());
        let number = u64::from_str_radix(digits, 16).ok().filter(|_| is_number);
        number.map(Self)
    }
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_it_is_written() {
        let id = LeaseId(0xab);
        assert_eq!(id.to_string(), "00000000000000ab");
        assert_eq!(LeaseId::parse(&id.to_string()), Some(id));
        assert_eq!(LeaseId::parse("FFFFFFFFFFFFFFFF"), Some(LeaseId(u64::MAX)));
        for bad in [
            "",
            "ab",
            "+0000000000000ab",
            "00000000000000abc",
            "g0000000000000ab",
            "ä000000000000ab",
        ] {
            assert_eq!(LeaseId::parse(bad), None, "{bad}");
        }
    }
}
