//! Intervals as PostgreSQL's `postgres` interval style prints them: months, days and a time, each with its own sign.

use super::datetime::{SECOND_MICROS, push_fraction};

/// `1 year 2 mons -3 days +04:05:06.789`.
pub(crate) fn push_interval(out: &mut Vec<u8>, months: i32, days: i32, micros: i64) {
    let mut printer = Printer { out, empty: true, negative: false };
    printer.part(i64::from(months / 12), "year");
    printer.part(i64::from(months % 12), "mon");
    printer.part(i64::from(days), "day");
    let Printer { out, empty, negative } = printer;
    if !empty && micros == 0 {
        return;
    }
    if !empty {
        out.push(b' ');
    }
    if micros < 0 {
        out.push(b'-');
    } else if negative {
        out.push(b'+');
    }
    let total = micros.unsigned_abs();
    let seconds = total / SECOND_MICROS as u64;
    push_padded(out, seconds / 3600);
    out.push(b':');
    push_padded(out, seconds / 60 % 60);
    out.push(b':');
    push_padded(out, seconds % 60);
    push_fraction(out, (total % SECOND_MICROS as u64) as u32);
}

struct Printer<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
    negative: bool,
}

impl Printer<'_> {
    fn part(&mut self, value: i64, unit: &str) {
        if value == 0 {
            return;
        }
        if !self.empty {
            self.out.push(b' ');
        }
        if self.negative && value > 0 {
            self.out.push(b'+');
        }
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.push(b' ');
        self.out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            self.out.push(b's');
        }
        self.negative = value < 0;
        self.empty = false;
    }
}

fn push_padded(out: &mut Vec<u8>, value: u64) {
    if value < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
