//! Generated sales: the same rows for the same seed, on every machine and in every release.
//!
//! Each sale is a pure function of (seed, number of rows, index), so that rows can be made in any order and by many at once:
//!
//!     index ─▶ day and second (seasonal, monotone)      ─┐
//!     mix(seed, index) ─▶ customer ─▶ country, region    ├─▶ Sale ─▶ csv
//!                      └▶ product ─▶ category, price     ─┘
//!
//! Customers and products are skewed: few of them make much of the revenue. Days follow the weekday, the season and a slow
//! growth. `relations` makes the products, customers, stores and refunds that belong to the sales; `stream` brings rows late, twice
//! or damaged, and `sending` takes them to a server. Nothing else here knows one; `demo` and `bench` load what this file makes.

mod command;
mod relations;
mod sending;
mod stream;

pub(crate) use command::{GenerateOptions, run};

use stream::{Shares, Stream};

/// The table that generated sales are made for.
pub(crate) const SALES_TABLE: &str = "\
CREATE TABLE sales (
  transaction_id bigint NOT NULL,
  sold_at timestamp NOT NULL,
  sale_date date NOT NULL,
  region text NOT NULL,
  country text NOT NULL,
  store_id integer NOT NULL,
  customer_id integer NOT NULL,
  product_id integer NOT NULL,
  category text NOT NULL,
  quantity integer NOT NULL,
  unit_price numeric(10,2) NOT NULL,
  discount numeric(4,2) NOT NULL,
  amount numeric(12,2) NOT NULL,
  payment_method text NOT NULL,
  status text NOT NULL
) PARTITION BY (region, month(sale_date))
  WITH (order_by = 'sale_date, sold_at')";

/// 2024-01-01, a Monday, in days since 1970-01-01.
const FIRST_DAY: i64 = 19_723;
/// Two years: the last day is 2025-12-31.
const DAYS: u64 = 731;
const SECONDS_PER_DAY: i64 = 86_400;
const ROWS_PER_CUSTOMER: u64 = 20;
const CUSTOMERS_MIN: u64 = 100;
const CUSTOMERS_MAX: u64 = 1_000_000_000;
const PRODUCTS: u64 = 5_000;
/// How many customers and products a skew is for.
const BUSIEST: u64 = 10;
const STORES_PER_COUNTRY: u64 = 20;
const PIECE_BYTES: usize = 256 * 1024;

/// From Monday to Sunday, in percent.
const WEEKDAY_WEIGHTS: [u64; 7] = [90, 88, 92, 100, 125, 150, 110];
/// From January to December, in percent.
const MONTH_WEIGHTS: [u64; 12] = [85, 82, 92, 95, 100, 98, 96, 94, 98, 104, 128, 150];
/// From midnight on.
const HOUR_WEIGHTS: [u64; 24] = [1, 1, 1, 1, 1, 2, 4, 8, 14, 20, 24, 26, 28, 26, 24, 24, 26, 30, 32, 26, 18, 10, 5, 2];

/// Country, region and the country's share of the customers.
const COUNTRIES: [(&str, &str, u64); 20] = [
    ("Germany", "EMEA", 11),
    ("United Kingdom", "EMEA", 9),
    ("France", "EMEA", 8),
    ("Italy", "EMEA", 5),
    ("Spain", "EMEA", 4),
    ("Netherlands", "EMEA", 3),
    ("Poland", "EMEA", 2),
    ("South Africa", "EMEA", 1),
    ("United States", "AMER", 25),
    ("Canada", "AMER", 5),
    ("Japan", "APAC", 7),
    ("India", "APAC", 5),
    ("Australia", "APAC", 3),
    ("South Korea", "APAC", 2),
    ("Singapore", "APAC", 1),
    ("Brazil", "LATAM", 4),
    ("Mexico", "LATAM", 2),
    ("Argentina", "LATAM", 1),
    ("Colombia", "LATAM", 1),
    ("Chile", "LATAM", 1),
];

const CATEGORIES: [&str; 12] = [
    "Electronics",
    "Groceries",
    "Clothing",
    "Household",
    "Garden",
    "Toys",
    "Sports",
    "Beauty",
    "Books",
    "Office",
    "Automotive",
    "Pets",
];

const PAYMENT_METHODS: [(&str, u64); 6] =
    [("card", 55), ("cash", 15), ("paypal", 12), ("transfer", 8), ("invoice", 7), ("voucher", 3)];
const STATUSES: [(&str, u64); 4] = [("completed", 90), ("returned", 5), ("pending", 3), ("cancelled", 2)];
const DISCOUNTS_PERCENT: [(u64, u64); 6] = [(0, 60), (5, 15), (10, 12), (15, 6), (20, 5), (50, 2)];

/// Keeps every product in `Sales` inside 64 bits.
const ROWS_MAX: u64 = 100_000_000_000;

/// In which order rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    ByDate,
    Random,
}

/// One row of the table `sales`. Money is in cents, the discount in percent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sale {
    pub(crate) transaction_id: u64,
    /// Seconds since 1970-01-01, without a time zone; the sale's date is its day.
    pub(crate) sold_at: i64,
    pub(crate) region: &'static str,
    pub(crate) country: &'static str,
    pub(crate) store_id: u64,
    pub(crate) customer_id: u64,
    pub(crate) product_id: u64,
    pub(crate) category: &'static str,
    pub(crate) quantity: u64,
    pub(crate) unit_price_cents: u64,
    pub(crate) discount_percent: u64,
    pub(crate) amount_cents: u64,
    pub(crate) payment_method: &'static str,
    pub(crate) status: &'static str,
}

/// The sales of one seed.
#[derive(Clone, Debug)]
pub(crate) struct Sales {
    rows: u64,
    seed: u64,
    first_id: u64,
    customers: u64,
    /// The index of each day's first row, and `rows` at the end.
    day_starts: Vec<u64>,
    hour_starts: [u64; 25],
    country_slots: Vec<u8>,
    /// The share of the sales that the busiest customers and products have beyond what they have anyway.
    skew: f64,
}

impl Sales {
    pub(crate) fn new(rows: u64, seed: u64, first_id: u64) -> Self {
        let mut weights = Vec::with_capacity(DAYS as usize + 1);
        let mut total = 0;
        for day in 0..DAYS {
            weights.push(total);
            total += day_weight(day);
        }
        weights.push(total);
        let share = |weight: u64| (u128::from(rows) * u128::from(weight) / u128::from(total)) as u64;
        let mut hour_starts = [0; 25];
        for (hour, weight) in HOUR_WEIGHTS.iter().enumerate() {
            hour_starts[hour + 1] = hour_starts[hour] + weight;
        }
        let country_slots = COUNTRIES
            .iter()
            .enumerate()
            .flat_map(|(country, (_, _, weight))| std::iter::repeat_n(country as u8, *weight as usize))
            .collect();
        Self {
            rows,
            seed,
            first_id,
            customers: (rows / ROWS_PER_CUSTOMER).clamp(CUSTOMERS_MIN, CUSTOMERS_MAX),
            day_starts: weights.into_iter().map(share).collect(),
            hour_starts,
            country_slots,
            skew: 0.0,
        }
    }

    /// The same with this share of the sales at the ten busiest customers and products.
    pub(crate) fn with_skew(mut self, share: f64) -> Self {
        self.skew = share;
        self
    }

    /// The sale at `index`; by index, sales are in order of `sale_date` and `sold_at`.
    pub(crate) fn sale(&self, index: u64) -> Sale {
        let mut random = self.random(index);
        let day = self.day_starts.partition_point(|start| *start <= index) - 1;
        let day_rows = self.day_starts[day + 1] - self.day_starts[day];
        let position = (((index - self.day_starts[day]) << 32) + (random.next() >> 32)) / day_rows;
        let midnight = (FIRST_DAY + day as i64) * SECONDS_PER_DAY;
        self.sale_at(self.first_id + index, midnight + self.second_of_day(position), random)
    }

    /// A sale that happens at `sold_at`, beyond the generated days if need be.
    pub(crate) fn sale_on(&self, transaction_id: u64, sold_at: i64) -> Sale {
        self.sale_at(transaction_id, sold_at, self.random(transaction_id))
    }

    /// All sales as csv, in pieces of whole lines of a few hundred kilobytes.
    pub(crate) fn csv_pieces(&self, order: Order) -> impl Iterator<Item = Vec<u8>> + '_ {
        let mut stream = Stream::new(self, order, Shares::default());
        std::iter::from_fn(move || {
            let mut piece = Vec::with_capacity(PIECE_BYTES + 256);
            while piece.len() < PIECE_BYTES && stream.write_next(&mut piece) {}
            (!piece.is_empty()).then_some(piece)
        })
    }

    fn random(&self, index: u64) -> SplitMix64 {
        SplitMix64 { state: mix(self.seed.wrapping_add(mix(index))) }
    }

    fn sale_at(&self, transaction_id: u64, sold_at: i64, mut random: SplitMix64) -> Sale {
        // The square of a uniform number: the first percent of the customers makes a tenth of the sales.
        let mut customer = below(random.squared(), self.customers);
        let mut product = below(random.cubed(), PRODUCTS);
        if self.skew > 0.0 {
            let mut skew = SplitMix64 { state: mix(random.state) };
            if skew.falls_on(self.skew) {
                (customer, product) = (below(skew.next() >> 32, BUSIEST), below(skew.next() >> 32, BUSIEST));
            }
        }
        let country_index = self.country_of(customer);
        let (country, region, _) = COUNTRIES[usize::from(country_index)];
        let quantity = 1 + below(random.cubed(), 10);
        let unit_price_cents = price_cents(product);
        let choice = random.next();
        let discount_percent = pick(&DISCOUNTS_PERCENT, choice & 0xffff);
        // Half a cent is rounded up, as numeric does.
        let amount_cents = (unit_price_cents * quantity * (100 - discount_percent) + 50) / 100;
        Sale {
            transaction_id,
            sold_at,
            region,
            country,
            store_id: u64::from(country_index) * STORES_PER_COUNTRY + 1 + below(random.squared(), STORES_PER_COUNTRY),
            customer_id: customer + 1,
            product_id: product + 1,
            category: category_of(product),
            quantity,
            unit_price_cents,
            discount_percent,
            amount_cents,
            payment_method: pick(&PAYMENT_METHODS, (choice >> 16) & 0xffff),
            status: pick(&STATUSES, (choice >> 32) & 0xffff),
        }
    }

    /// Where a customer, counted from 0, lives.
    fn country_of(&self, customer: u64) -> u8 {
        self.country_slots[below(mix(customer) >> 32, self.country_slots.len() as u64) as usize]
    }

    /// The second of the day before which `position` / 2³² of the day's sales happen.
    fn second_of_day(&self, position: u64) -> i64 {
        let scaled = position * self.hour_starts[24];
        let hour = self.hour_starts.partition_point(|start| (start << 32) <= scaled) - 1;
        let in_hour = (scaled - (self.hour_starts[hour] << 32)) * 3600 / HOUR_WEIGHTS[hour];
        hour as i64 * 3600 + (in_hour >> 32) as i64
    }
}

impl Sale {
    /// The row as an item of VALUES.
    pub(crate) fn sql_values(&self) -> String {
        let mut line = Vec::new();
        self.write_csv(&mut line);
        let line = String::from_utf8_lossy(&line);
        let literal = |field: &str| {
            let is_number = field.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            if is_number { field.to_string() } else { format!("'{field}'") }
        };
        format!("({})", line.trim_end().split(',').map(literal).collect::<Vec<_>>().join(", "))
    }

    /// Appends the row and a newline. No value needs quotes.
    pub(crate) fn write_csv(&self, out: &mut Vec<u8>) {
        let day = self.sold_at.div_euclid(SECONDS_PER_DAY);
        let second = self.sold_at.rem_euclid(SECONDS_PER_DAY) as u64;
        write_number(out, self.transaction_id);
        out.push(b',');
        write_moment_and_date(out, day, second);
        write_text(out, self.region);
        write_text(out, self.country);
        for number in [self.store_id, self.customer_id, self.product_id] {
            out.push(b',');
            write_number(out, number);
        }
        write_text(out, self.category);
        out.push(b',');
        write_number(out, self.quantity);
        for hundredths in [self.unit_price_cents, self.discount_percent, self.amount_cents] {
            out.push(b',');
            write_number(out, hundredths / 100);
            out.push(b'.');
            write_two_digits(out, hundredths % 100);
        }
        write_text(out, self.payment_method);
        write_text(out, self.status);
        out.push(b'\n');
    }
}

fn day_weight(day: u64) -> u64 {
    let (_, month, _) = civil_date(FIRST_DAY + day as i64);
    // A quarter more at the end than at the beginning.
    let growth = 100 + day * 25 / DAYS;
    WEEKDAY_WEIGHTS[(day % 7) as usize] * MONTH_WEIGHTS[month as usize - 1] * growth
}

/// From 0.99 to about 1,700.00; most products are cheap.
fn price_cents(product: u64) -> u64 {
    let base = 1 + below(cube(mix(product ^ 0x5a1e5) >> 32), 1_700);
    let ending = [99, 49, 95, 0][(mix(product) >> 60) as usize % 4];
    (base - 1) * 100 + ending + u64::from(ending == 0) * 100
}

/// The category of a product, counted from 0.
fn category_of(product: u64) -> &'static str {
    CATEGORIES[(mix(product) % CATEGORIES.len() as u64) as usize]
}

/// The entry that `random`, of 16 bits, falls on. The weights add up to 100.
fn pick<T: Copy>(weighted: &[(T, u64)], random: u64) -> T {
    let mut left = (random * 100) >> 16;
    for (value, weight) in weighted {
        if left < *weight {
            return *value;
        }
        left -= weight;
    }
    weighted[0].0
}

/// `random`, of 32 bits, brought into `0..limit`.
fn below(random: u64, limit: u64) -> u64 {
    (random * limit) >> 32
}

/// The third power of a fraction of 2³².
fn cube(fraction: u64) -> u64 {
    (((fraction * fraction) >> 32) * fraction) >> 32
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014): fixed for ever, unlike a library's default.
struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A fraction of 2³² with small ones more likely.
    fn squared(&mut self) -> u64 {
        let fraction = self.next() >> 32;
        (fraction * fraction) >> 32
    }

    fn cubed(&mut self) -> u64 {
        cube(self.next() >> 32)
    }

    /// True in this share of the cases.
    fn falls_on(&mut self, share: f64) -> bool {
        ((self.next() >> 11) as f64) < share * (1u64 << 53) as f64
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A random order of `0..rows` without a table: a Feistel network over the next power of four, walked until it falls inside.
struct Permutation {
    rows: u64,
    half_bits: u32,
    keys: [u64; 4],
}

impl Permutation {
    fn new(rows: u64, seed: u64) -> Self {
        let bits = u64::BITS - rows.saturating_sub(1).leading_zeros();
        let keys = std::array::from_fn(|round| mix(seed.wrapping_add(0x5eed + round as u64)));
        Self { rows, half_bits: bits.div_ceil(2).max(1), keys }
    }

    fn apply(&self, index: u64) -> u64 {
        let mut value = self.step(index);
        while value >= self.rows {
            value = self.step(value);
        }
        value
    }

    fn step(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b',');
    out.extend_from_slice(text.as_bytes());
}

fn write_two_digits(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// `2025-03-31 12:34:56,2025-03-31`
fn write_moment_and_date(out: &mut Vec<u8>, day: i64, second: u64) {
    let date_start = out.len();
    write_date(out, day);
    let date_end = out.len();
    for (separator, part) in [(b' ', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
        out.push(separator);
        write_two_digits(out, part);
    }
    out.push(b',');
    out.extend_from_within(date_start..date_end);
}

fn write_date(out: &mut Vec<u8>, day: i64) {
    let (year, month, day_of_month) = civil_date(day);
    write_number(out, year as u64);
    for part in [month, day_of_month] {
        out.push(b'-');
        write_two_digits(out, part);
    }
}

/// Year, month and day of a day since 1970-01-01; Howard Hinnant, "chrono-compatible low-level date algorithms".
fn civil_date(day: i64) -> (i64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u64, day_of_month as u64)
}

#[cfg(test)]
mod tests;
