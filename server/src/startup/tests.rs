//! How start-up options are read.

use super::*;

fn options(text: &str) -> Result<Vec<(String, String)>, Fatal> {
    read_options(text)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

#[test]
fn options_are_read_in_all_their_spellings() {
    assert_eq!(options(" -c a=1  -cb=2 --work-mem=3 "), Ok(pairs(&[("a", "1"), ("b", "2"), ("work_mem", "3")])));
    assert_eq!(options(""), Ok(Vec::new()));
}

#[test]
fn a_backslash_keeps_a_space_in_a_value() {
    assert_eq!(options(r"-c DateStyle=ISO,\ DMY -c x=\\"), Ok(pairs(&[("DateStyle", "ISO, DMY"), ("x", r"\")])));
}

#[test]
fn options_that_are_not_settings_are_refused() {
    for text in ["-c", "-c a", "--a", "-B 5", "a=1"] {
        assert!(options(text).is_err(), "{text}");
    }
}
