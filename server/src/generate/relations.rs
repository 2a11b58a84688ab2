//! What belongs to generated sales: their products, customers and stores, and the refunds of those that came back.
//!
//! Everything fits together: a sale's customer lives in the sale's country, its product has the sale's category and price, and a
//! refund is of a sale whose status is `returned`.

use super::{
    COUNTRIES, PRODUCTS, SALES_TABLE, SECONDS_PER_DAY, STORES_PER_COUNTRY, Sales, below, category_of, mix, price_cents,
    write_date, write_moment_and_date, write_number, write_text, write_two_digits,
};
use clap::ValueEnum;

/// What is generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Relation {
    #[default]
    Sales,
    Products,
    Customers,
    Stores,
    Refunds,
}

const PRODUCTS_TABLE: &str = "\
CREATE TABLE products (
  product_id integer NOT NULL,
  name text NOT NULL,
  category text NOT NULL,
  unit_price numeric(10,2) NOT NULL
)";

const CUSTOMERS_TABLE: &str = "\
CREATE TABLE customers (
  customer_id integer NOT NULL,
  name text NOT NULL,
  country text NOT NULL,
  region text NOT NULL,
  customer_since date NOT NULL
)";

const STORES_TABLE: &str = "\
CREATE TABLE stores (
  store_id integer NOT NULL,
  name text NOT NULL,
  country text NOT NULL,
  region text NOT NULL,
  opened_on date NOT NULL
)";

const REFUNDS_TABLE: &str = "\
CREATE TABLE refunds (
  refund_id bigint NOT NULL,
  transaction_id bigint NOT NULL,
  refunded_at timestamp NOT NULL,
  refund_date date NOT NULL,
  region text NOT NULL,
  amount numeric(12,2) NOT NULL,
  reason text NOT NULL
) PARTITION BY (region, month(refund_date))
  WITH (order_by = 'refund_date, refunded_at')";

const SALES_HEADER: &str = "transaction_id,sold_at,sale_date,region,country,store_id,customer_id,product_id,category,quantity,\
                            unit_price,discount,amount,payment_method,status";

const ADJECTIVES: [&str; 16] = [
    "Amber", "Bright", "Calm", "Deep", "Early", "Fine", "Grand", "Handy", "Idle", "Jolly", "Keen", "Light", "Mellow",
    "New", "Old", "Plain",
];
const THINGS: [&str; 16] = [
    "Anchor", "Basket", "Candle", "Drum", "Engine", "Feather", "Glove", "Hammer", "Iris", "Jar", "Kettle", "Lantern",
    "Mirror", "Needle", "Oar", "Pillow",
];
const FIRST_NAMES: [&str; 16] = [
    "Ada", "Bruno", "Chen", "Dora", "Emil", "Fatima", "Goran", "Hana", "Ines", "João", "Kofi", "Lena", "Mateo", "Noor",
    "Olga", "Priya",
];
const LAST_NAMES: [&str; 16] = [
    "Adeyemi", "Bauer", "Castro", "Dubois", "Eriksen", "Fischer", "García", "Horvat", "Ito", "Jansen", "Kim", "Lopez",
    "Müller", "Novák", "O'Neill", "Patel",
];
const REASONS: [&str; 5] = ["damaged", "wrong size", "late", "not as described", "changed my mind"];

/// What days are counted back from: 2024-01-01.
const OPENING_DAY: i64 = super::FIRST_DAY;

impl Relation {
    /// The table's own name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Products => "products",
            Self::Customers => "customers",
            Self::Stores => "stores",
            Self::Refunds => "refunds",
        }
    }

    /// The CREATE TABLE that the rows fit, under another name if need be.
    pub(crate) fn definition(self, name: &str) -> String {
        let definition = match self {
            Self::Sales => SALES_TABLE,
            Self::Products => PRODUCTS_TABLE,
            Self::Customers => CUSTOMERS_TABLE,
            Self::Stores => STORES_TABLE,
            Self::Refunds => REFUNDS_TABLE,
        };
        definition.replacen(self.name(), name, 1)
    }

    /// The names of the columns, as a line of csv.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Sales => SALES_HEADER,
            Self::Products => "product_id,name,category,unit_price",
            Self::Customers => "customer_id,name,country,region,customer_since",
            Self::Stores => "store_id,name,country,region,opened_on",
            Self::Refunds => "refund_id,transaction_id,refunded_at,refund_date,region,amount,reason",
        }
    }
}

/// The lines of a relation other than the sales.
pub(crate) struct Rows<'a> {
    sales: &'a Sales,
    relation: Relation,
    next: u64,
    /// Refunds so far.
    refunds: u64,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(sales: &'a Sales, relation: Relation) -> Self {
        Self { sales, relation, next: 0, refunds: 0 }
    }

    /// Appends the next line; false where there is none.
    pub(crate) fn write_next(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            let end = match self.relation {
                Relation::Products => PRODUCTS,
                Relation::Customers => self.sales.customers,
                Relation::Stores => COUNTRIES.len() as u64 * STORES_PER_COUNTRY,
                Relation::Sales | Relation::Refunds => self.sales.rows,
            };
            if self.next == end {
                return false;
            }
            let index = self.next;
            self.next += 1;
            let relation = self.relation;
            match relation {
                Relation::Products => write_product(index, out),
                Relation::Customers => self.write_customer(index, out),
                Relation::Stores => write_store(index, out),
                Relation::Sales => self.sales.sale(index).write_csv(out),
                Relation::Refunds if self.write_refund(index, out) => {}
                Relation::Refunds => continue,
            }
            return true;
        }
    }

    fn write_customer(&self, index: u64, out: &mut Vec<u8>) {
        let (country, region, _) = COUNTRIES[usize::from(self.sales.country_of(index))];
        write_number(out, index + 1);
        write_text(out, &two_words(&FIRST_NAMES, &LAST_NAMES, index));
        write_text(out, country);
        write_text(out, region);
        out.push(b',');
        write_date(out, OPENING_DAY - below(mix(index ^ 0xc057) >> 32, 3_650) as i64);
        out.push(b'\n');
    }

    /// Writes the refund of a sale that came back; false for any other.
    fn write_refund(&mut self, index: u64, out: &mut Vec<u8>) -> bool {
        let sale = self.sales.sale(index);
        if sale.status != "returned" {
            return false;
        }
        let chance = mix(self.sales.seed.wrapping_add(mix(index ^ 0x4ef0d)));
        let refunded_at = sale.sold_at + 3_600 + below(chance >> 32, 30 * SECONDS_PER_DAY as u64) as i64;
        // Of one in four only half is paid back.
        let amount_cents = if chance.is_multiple_of(4) { sale.amount_cents.div_ceil(2) } else { sale.amount_cents };
        let second = refunded_at.rem_euclid(SECONDS_PER_DAY) as u64;
        self.refunds += 1;
        write_number(out, self.refunds);
        out.push(b',');
        write_number(out, sale.transaction_id);
        out.push(b',');
        write_moment_and_date(out, refunded_at.div_euclid(SECONDS_PER_DAY), second);
        write_text(out, sale.region);
        write_money(out, amount_cents);
        write_text(out, REASONS[(chance >> 40) as usize % REASONS.len()]);
        out.push(b'\n');
        true
    }
}

fn write_product(index: u64, out: &mut Vec<u8>) {
    write_number(out, index + 1);
    write_text(out, &two_words(&ADJECTIVES, &THINGS, index));
    write_text(out, category_of(index));
    write_money(out, price_cents(index));
    out.push(b'\n');
}

fn write_store(index: u64, out: &mut Vec<u8>) {
    let (country, region, _) = COUNTRIES[(index / STORES_PER_COUNTRY) as usize];
    write_number(out, index + 1);
    write_text(out, &format!("{country} {}", index % STORES_PER_COUNTRY + 1));
    write_text(out, country);
    write_text(out, region);
    out.push(b',');
    write_date(out, OPENING_DAY - below(mix(index ^ 0x5704e) >> 32, 7_300) as i64);
    out.push(b'\n');
}

/// A name of two words.
fn two_words(first: &[&str; 16], second: &[&str; 16], index: u64) -> String {
    let choice = mix(index ^ 0x4a3e);
    format!("{} {}", first[(choice & 15) as usize], second[(choice >> 4 & 15) as usize])
}

fn write_money(out: &mut Vec<u8>, cents: u64) {
    out.push(b',');
    write_number(out, cents / 100);
    out.push(b'.');
    write_two_digits(out, cents % 100);
}
