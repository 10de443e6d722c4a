//! Progress bars for long work. indicatif shows them on a terminal, on standard error, and nothing in a pipe.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Progress by bytes, with a message beside it. Without a total it only counts.
pub fn bytes_bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {bytes}/{total_bytes}  {msg}  {elapsed}",
        ),
        None => (
            ProgressBar::new_spinner(),
            "{spinner} {bytes}  {msg}  {elapsed}",
        ),
    };
    bar.enable_steady_tick(Duration::from_millis(200));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Progress by seconds.
pub fn seconds_bar(seconds: u64) -> ProgressBar {
    let bar = ProgressBar::new(seconds);
    match ProgressStyle::with_template("{bar:30} {pos}/{len} s") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
