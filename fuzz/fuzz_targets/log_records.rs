//! Whatever bytes lie in the log: they are refused, or they are a record that is written again as the same record.
//!
//! ```text
//! cargo +nightly fuzz run log_records
//! ```

#![no_main]

use kg_core::log::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::decode(bytes) {
        let written = record.encode();
        let again = Record::decode(&written).expect("what was written is read");
        assert_eq!(again.encode(), written);
        assert_eq!((again.revision, again.hash), (record.revision, record.hash));
    }
});
