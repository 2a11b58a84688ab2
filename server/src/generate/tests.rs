//! What generated sales promise.

use super::*;
use std::collections::BTreeSet;

fn csv(rows: u64, seed: u64, order: Order) -> String {
    let mut out = Vec::new();
    Sales::new(rows, seed, 1).write_csv(order, &mut out).expect("a vector takes everything");
    String::from_utf8(out).expect("sales are text")
}

#[test]
fn the_first_rows_never_change() {
    let text = csv(100_000, 1, Order::ByDate);
    let lines: Vec<&str> = text.lines().take(3).collect();
    assert_eq!(lines, FIRST_LINES);
}

const FIRST_LINES: [&str; 3] = [
    "1,2024-01-01 03:09:34,2024-01-01,AMER,Canada,188,694,421,Electronics,9,709.00,0.00,6381.00,invoice,completed",
    "2,2024-01-01 05:17:11,2024-01-01,LATAM,Brazil,317,1581,2400,Clothing,2,620.49,0.00,1240.98,card,completed",
    "3,2024-01-01 06:54:59,2024-01-01,EMEA,Germany,13,4757,3,Automotive,1,3.49,0.00,3.49,cash,completed",
];

#[test]
fn rows_come_in_order_of_date_and_time() {
    let sales = Sales::new(50_000, 3, 1);
    let times: Vec<i64> = (0..50_000).map(|index| sales.sale(index).sold_at).collect();
    assert!(times.is_sorted());
    assert_eq!(times[0] / SECONDS_PER_DAY, FIRST_DAY);
    assert_eq!(times[49_999] / SECONDS_PER_DAY, FIRST_DAY + DAYS as i64 - 1);
}

#[test]
fn a_shuffled_file_holds_the_same_rows() {
    for rows in [0, 1, 2, 5, 1_000, 4_097] {
        let sorted: Vec<String> = csv(rows, 9, Order::ByDate).lines().map(String::from).collect();
        let shuffled: Vec<String> = csv(rows, 9, Order::Random).lines().map(String::from).collect();
        assert!(rows < 1_000 || sorted != shuffled);
        assert_eq!(BTreeSet::from_iter(&sorted), BTreeSet::from_iter(&shuffled));
        assert_eq!((sorted.len() as u64, shuffled.len() as u64), (rows, rows));
    }
}

#[test]
fn every_row_fits_the_table() {
    let columns = HEADER.trim().split(',').count();
    for line in csv(20_000, 4, Order::ByDate).lines() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), columns, "{line}");
        assert!(fields[1].starts_with(fields[2]), "the date is the day of the time: {line}");
        let cents = |field: &str| field.replace('.', "").parse::<u64>().expect("a number");
        let exact = cents(fields[10]) * cents(fields[9]) * (100 - cents(fields[11]));
        assert_eq!(cents(fields[12]), (exact + 50) / 100, "{line}");
    }
}

#[test]
fn a_customer_lives_in_one_country() {
    let sales = Sales::new(20_000, 5, 1);
    let mut homes = std::collections::HashMap::new();
    for sale in (0..20_000).map(|index| sales.sale(index)) {
        assert_eq!(*homes.entry(sale.customer_id).or_insert(sale.country), sale.country);
    }
    assert!(homes.len() > 900, "of 1,000 customers nearly all buy, not {}", homes.len());
}

#[test]
fn values_for_sql_quote_what_is_no_number() {
    let values = Sales::new(100_000, 1, 1).sale(0).sql_values();
    let expected = "(1, '2024-01-01 03:09:34', '2024-01-01', 'AMER', 'Canada', 188, 694, 421, 'Electronics', 9, 709.00, 0.00, \
                    6381.00, 'invoice', 'completed')";
    assert_eq!(values, expected);
}

#[test]
fn dates_are_those_of_the_calendar() {
    assert_eq!(civil_date(0), (1970, 1, 1));
    assert_eq!(civil_date(FIRST_DAY + 59), (2024, 2, 29));
    assert_eq!(civil_date(FIRST_DAY + DAYS as i64 - 1), (2025, 12, 31));
}
