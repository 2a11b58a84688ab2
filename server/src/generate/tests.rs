//! What generated sales promise.

use super::relations::{Relation, Rows};
use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn csv(rows: u64, seed: u64, order: Order) -> String {
    let sales = Sales::new(rows, seed, 1);
    let pieces: Vec<Vec<u8>> = sales.csv_pieces(order).collect();
    String::from_utf8(pieces.concat()).expect("sales are text")
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
    let columns = Relation::Sales.header().split(',').count();
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

/// The lines of a stream, and what it says of itself.
fn stream(rows: u64, shares: Shares) -> (Vec<Vec<u8>>, stream::Counts) {
    let sales = Sales::new(rows, 1, 1);
    let mut stream = Stream::new(&sales, Order::ByDate, shares);
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if !stream.write_next(&mut line) {
            return (lines, stream.counts());
        }
        lines.push(line);
    }
}

fn is_about(count: u64, of: u64, share: f64) -> bool {
    let expected = of as f64 * share;
    (count as f64 - expected).abs() < 5.0 * expected.sqrt()
}

#[test]
fn a_stream_is_late_doubled_and_dirty_by_its_shares() {
    let shares = Shares { late: 0.1, duplicates: 0.05, dirty: 0.02 };
    let (lines, counts) = stream(30_000, shares);
    let clean: Vec<String> = csv(30_000, 1, Order::ByDate).lines().map(|line| format!("{line}\n")).collect();
    assert_eq!((counts.lines, lines.len() as u64), (30_000 + counts.duplicates, counts.lines));
    assert!(is_about(counts.late, 30_000, 0.1) && is_about(counts.duplicates, 30_000, 0.05), "{counts:?}");
    assert!(is_about(counts.dirty, counts.lines, 0.02), "{counts:?}");
    // Nothing but what is dirty differs from the clean file, and nothing is missing.
    let known: BTreeSet<&[u8]> = clean.iter().map(|line| line.as_bytes()).collect();
    let mut seen: BTreeMap<&[u8], u64> = BTreeMap::new();
    lines.iter().for_each(|line| *seen.entry(line).or_default() += 1);
    let dirty = lines.iter().filter(|line| !known.contains(line.as_slice())).count();
    assert_eq!(dirty as u64, counts.dirty);
    let twice = seen.values().filter(|count| **count == 2).count();
    assert_eq!((twice as u64, seen.len()), (counts.duplicates, 30_000));
    let id = |line: &[u8]| String::from_utf8_lossy(line).split(',').next().and_then(|id| id.parse::<u64>().ok());
    let ids: Vec<u64> = lines.iter().filter_map(|line| id(line)).collect();
    let mut newest = 0;
    for id in ids {
        newest = newest.max(id);
        assert!(newest - id <= 21_000, "{id} comes after {newest}");
    }
    assert_eq!(stream(30_000, shares).0, lines, "the same seed gives the same stream");
}

#[test]
fn a_stream_of_nothing_but_late_sales_ends() {
    let (lines, counts) = stream(500, Shares { late: 1.0, duplicates: 1.0, dirty: 1.0 });
    assert_eq!((lines.len(), counts.late, counts.duplicates, counts.dirty), (1_000, 500, 500, 1_000));
}

#[test]
fn a_skew_is_for_the_busiest() {
    let share_of_busiest = |skew: f64| {
        let sales = Sales::new(20_000, 1, 1).with_skew(skew);
        (0..20_000).filter(|index| sales.sale(*index).customer_id <= BUSIEST).count() as u64
    };
    let plain = share_of_busiest(0.0);
    assert!(is_about(share_of_busiest(0.5) - plain / 2, 20_000, 0.5), "{plain}");
    let sales = Sales::new(20_000, 1, 1).with_skew(0.0);
    assert_eq!(sales.sale(7), Sales::new(20_000, 1, 1).sale(7));
}

fn rows(sales: &Sales, relation: Relation) -> Vec<Vec<String>> {
    let mut rows = Rows::new(sales, relation);
    let mut out = Vec::new();
    while rows.write_next(&mut out) {}
    let text = String::from_utf8(out).expect("rows are text");
    let columns = relation.header().split(',').count();
    let lines = text.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    lines.inspect(|fields| assert_eq!(fields.len(), columns, "{fields:?}")).collect()
}

#[test]
fn what_belongs_to_sales_fits_them() {
    let sales = Sales::new(20_000, 1, 1);
    let by_id = |relation| -> BTreeMap<String, Vec<String>> {
        rows(&sales, relation).into_iter().map(|row| (row[0].clone(), row)).collect()
    };
    let (products, customers, stores) =
        (by_id(Relation::Products), by_id(Relation::Customers), by_id(Relation::Stores));
    let mut returned = BTreeMap::new();
    for sale in (0..20_000).map(|index| sales.sale(index)) {
        let product = &products[&sale.product_id.to_string()];
        let price = format!("{}.{:02}", sale.unit_price_cents / 100, sale.unit_price_cents % 100);
        assert_eq!((product[2].as_str(), product[3].as_str()), (sale.category, price.as_str()));
        assert_eq!(customers[&sale.customer_id.to_string()][2..4], [sale.country, sale.region]);
        assert_eq!(stores[&sale.store_id.to_string()][2..4], [sale.country, sale.region]);
        if sale.status == "returned" {
            returned.insert(sale.transaction_id.to_string(), sale);
        }
    }
    let refunds = rows(&sales, Relation::Refunds);
    assert_eq!(refunds.len(), returned.len());
    for refund in refunds {
        let sale = &returned[&refund[1]];
        let cents: u64 = refund[5].replace('.', "").parse().expect("an amount");
        assert!(refund[2].starts_with(&refund[3]) && refund[4] == sale.region && cents <= sale.amount_cents);
    }
}
