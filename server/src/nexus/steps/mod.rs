//! The types of steps, a file for each.
