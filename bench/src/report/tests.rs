//! Medians and how figures are shown.

use super::*;

#[test]
fn the_median_of_an_even_number_lies_between() {
    assert_eq!(median(&[4.0, 1.0, 3.0]), Some(3.0));
    assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&[]), None);
}

#[test]
fn every_figure_carries_its_unit() {
    assert_eq!(Unit::Seconds.show(0.000_25), "250 µs");
    assert_eq!(Unit::Seconds.show(0.0421), "42.10 ms");
    assert_eq!(Unit::Seconds.show(4.2), "4.20 s");
    assert_eq!(Unit::RowsPerSecond.show(1_234_567.0), "1,234,567 rows/s");
    assert_eq!(Unit::Bytes.show(98_000_000.0), "98.0 MB");
    assert_eq!(Unit::Count.show(10_000.0), "10,000");
}

#[test]
fn a_percentile_is_one_of_the_times() {
    let times: Vec<Duration> = (1..=20).rev().map(Duration::from_secs).collect();
    assert_eq!((percentile(&times, 50), percentile(&times, 95), percentile(&times, 100)), (10.0, 19.0, 20.0));
    assert!(percentile(&[], 95).is_nan());
}
