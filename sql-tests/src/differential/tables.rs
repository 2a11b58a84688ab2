//! The tables that statements read: the same columns over edge values, over those near today, and over plain ones.

use super::values::{Range, Type, quoted};
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

/// A column that expressions may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub of_type: Type,
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, of_type: Type) -> Self {
        Self { name: name.into(), of_type }
    }
}

/// A table: its name, its values and how many rows it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Far,
    Near,
    Plain,
}

/// The columns of every table behind `id`: a name, a type for expressions, a type for CREATE TABLE.
const COLUMNS: &[(&str, Type, &str)] = &[
    ("b", Type::Bool, "boolean"),
    ("i2", Type::Int2, "smallint"),
    ("i4", Type::Int4, "integer"),
    ("i8", Type::Int8, "bigint"),
    ("f4", Type::Float4, "real"),
    ("f8", Type::Float8, "double precision"),
    ("n", Type::Numeric, "numeric(14,4)"),
    ("m", Type::Numeric, "numeric(28,0)"),
    ("t", Type::Text, "text"),
    ("v", Type::Varchar, "varchar(8)"),
    ("c", Type::Char, "char(6)"),
    ("d", Type::Date, "date"),
    ("h", Type::Time, "time"),
    ("ts", Type::Timestamp, "timestamp"),
    ("tz", Type::TimestampTz, "timestamptz"),
    ("u", Type::Uuid, "uuid"),
    ("y", Type::Bytea, "bytea"),
    ("j", Type::Jsonb, "jsonb"),
];

impl Table {
    pub(crate) const ALL: &[Self] = &[Self::Far, Self::Near, Self::Plain];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Far => "far",
            Self::Near => "near",
            Self::Plain => "plain",
        }
    }

    pub(crate) fn range(self) -> Range {
        match self {
            Self::Far => Range::Far,
            Self::Near => Range::Near,
            Self::Plain => Range::Plain,
        }
    }

    /// The rows have the ids from 1 to this one.
    pub(crate) fn rows(self) -> usize {
        match self {
            Self::Far | Self::Near => 24,
            Self::Plain => 40,
        }
    }

    /// The columns without `id`, named through an alias where there is one.
    pub(crate) fn columns(self, alias: &str) -> Vec<Column> {
        let prefix = if alias.is_empty() { String::new() } else { format!("{alias}.") };
        COLUMNS.iter().map(|(name, of_type, _)| Column::new(format!("{prefix}{name}"), *of_type)).collect()
    }

    /// The statements that make the table and fill it; everything follows from the seed.
    pub(crate) fn creation(self, seed: u64) -> Vec<String> {
        let name = self.name();
        let columns: Vec<String> = COLUMNS.iter().map(|(name, _, declared)| format!("{name} {declared}")).collect();
        let mut random = StdRng::seed_from_u64(seed ^ self.rows() as u64 ^ ((name.len() as u64) << 32));
        let values: Vec<Vec<String>> =
            COLUMNS.iter().map(|(name, of_type, _)| self.column_values(name, *of_type, &mut random)).collect();
        let rows: Vec<String> = (0..self.rows())
            .map(|row| {
                let values: Vec<&str> = values.iter().map(|column| column[row].as_str()).collect();
                format!("({}, {})", row + 1, values.join(", "))
            })
            .collect();
        vec![
            format!("DROP TABLE IF EXISTS {name}"),
            format!("CREATE TABLE {name} (id integer NOT NULL, {})", columns.join(", ")),
            format!("INSERT INTO {name} VALUES {}", rows.join(", ")),
        ]
    }

    /// The values of a column as literals, in random order, each value once before one comes again.
    fn column_values(self, name: &str, of_type: Type, random: &mut StdRng) -> Vec<String> {
        let values: Vec<&str> = of_type.values(self.range()).into_iter().filter(|value| fits(name, value)).collect();
        let mut literals: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        literals.push("NULL".into());
        while literals.len() < self.rows() {
            let null = random.random_bool(0.1);
            let value = values.choose(random).filter(|_| !null);
            literals.push(value.map_or_else(|| "NULL".into(), |value| quoted(value)));
        }
        literals.truncate(self.rows());
        literals.shuffle(random);
        literals
    }
}

/// What fits into a column that is narrower than its type.
fn fits(column: &str, value: &str) -> bool {
    match column {
        "n" => value.len() < 16,
        // -0 comes before 0 in ORDER BY, and so in windows.
        "f4" | "f8" => value != "-0",
        "v" => value.chars().count() <= 8,
        "c" => value.trim_end().chars().count() <= 6,
        _ => true,
    }
}
