//! The types that the tester knows, their edge values, and how a value is spelled as a literal.
//!
//! Each type has three lists: edges (limits, NaN, switches of summer time, odd letters), edges that lie far from today
//! and only make sense where far dates are compared at all, and plain values, few enough that rows meet in groups.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A type of PostgreSQL that expressions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    /// `char(6)`: a length is part of it, because one without is another type in all but name.
    Char,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Bytea,
    Jsonb,
    Int4Array,
    TextArray,
}

/// Which of a type's values may be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    /// Edges and far edges.
    Far,
    /// Edges without the far ones.
    Near,
    /// Plain values.
    Plain,
}

impl Type {
    pub(crate) const ALL: &[Self] = &[
        Self::Bool,
        Self::Int2,
        Self::Int4,
        Self::Int8,
        Self::Float4,
        Self::Float8,
        Self::Numeric,
        Self::Text,
        Self::Varchar,
        Self::Char,
        Self::Date,
        Self::Time,
        Self::Timestamp,
        Self::TimestampTz,
        Self::Interval,
        Self::Uuid,
        Self::Bytea,
        Self::Jsonb,
        Self::Int4Array,
        Self::TextArray,
    ];

    /// The name in casts and in the templates of productions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int2 => "int2",
            Self::Int4 => "int4",
            Self::Int8 => "int8",
            Self::Float4 => "float4",
            Self::Float8 => "float8",
            Self::Numeric => "numeric",
            Self::Text => "text",
            Self::Varchar => "varchar",
            Self::Char => "char(6)",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Interval => "interval",
            Self::Uuid => "uuid",
            Self::Bytea => "bytea",
            Self::Jsonb => "jsonb",
            Self::Int4Array => "int4[]",
            Self::TextArray => "text[]",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.name() == name)
    }

    pub(crate) fn random(random: &mut StdRng) -> Self {
        Self::ALL.choose(random).copied().unwrap_or(Self::Int4)
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Int2 | Self::Int4 | Self::Int8 | Self::Float4 | Self::Float8 | Self::Numeric)
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::Float4 | Self::Float8)
    }

    /// Values without quotes.
    pub(crate) fn values(self, range: Range) -> Vec<&'static str> {
        match range {
            Range::Plain => self.plain().to_vec(),
            Range::Near => self.edges().to_vec(),
            Range::Far => [self.edges(), self.far_edges()].concat(),
        }
    }

    fn edges(self) -> &'static [&'static str] {
        match self {
            Self::Bool => &["true", "false"],
            Self::Int2 => &["0", "1", "-1", "7", "32767", "-32768"],
            Self::Int4 => &["0", "1", "-1", "2", "10", "-7", "2147483647", "-2147483648"],
            Self::Int8 => {
                &["0", "1", "-1", "3", "4294967296", "-2147483649", "9223372036854775807", "-9223372036854775808"]
            }
            Self::Float4 => {
                &["0", "-0", "1", "0.1", "-2.5", "3.4028235e38", "1e-45", "16777217", "NaN", "Infinity", "-Infinity"]
            }
            Self::Float8 => &[
                "0",
                "-0",
                "1",
                "0.1",
                "0.5",
                "1.5",
                "2.5",
                "-2.5",
                "1e15",
                "1e16",
                "1e-7",
                "123456789.125",
                "2147483647.5",
                "9007199254740993",
                "9223372036854775807",
                "1e300",
                "1.7976931348623157e308",
                "5e-324",
                "NaN",
                "Infinity",
                "-Infinity",
            ],
            Self::Numeric => {
                &["0", "1", "-1", "0.5", "1.5", "2.5", "-2.5", "0.0001", "99999999.9999", "-99999999.9999", "32767.5"]
            }
            Self::Text => &[
                "",
                "a",
                "A",
                "abc",
                " a b ",
                "ß",
                "éÉ",
                "İstanbul",
                "日本語",
                "😀x",
                "e\u{301}",
                "a%b_c",
                "it's",
                "\\",
                "a\"b",
                "a,b",
                "12",
                "-1.50",
                "true",
                "2024-02-29",
                "one\ntwo\tthree",
                "ABC def",
                "ﬁ",
            ],
            Self::Varchar => &["", "a", "b ", "ABCdefgh", "äöü", "12", "😀😀", "a'b"],
            Self::Char => &["", "a", "a b", "ABCdef", "äö  ", " x", "12"],
            Self::Date => &[
                "1970-01-01",
                "2000-02-29",
                "2024-02-29",
                "2024-03-31",
                "2024-10-27",
                "1900-03-01",
                "2023-12-31",
                "2024-12-30",
                "1999-01-03",
                "0001-01-01",
                "0044-03-15 BC",
            ],
            Self::Time => &["00:00:00", "12:34:56.789", "23:59:59.999999", "24:00:00", "02:30:00", "00:00:00.000001"],
            Self::Timestamp => &[
                "1970-01-01 00:00:00",
                "2024-02-29 23:59:59.999999",
                "2024-03-31 02:30:00",
                "2024-10-27 02:30:00",
                "2024-03-10 02:30:00",
                "2024-11-03 01:30:00",
                "2023-04-02 01:45:00",
                "1999-12-31 23:59:59.5",
                "1883-11-18 12:00:00",
                "0001-01-01 00:00:00",
                "0044-03-15 12:00:00 BC",
                "2024-01-31 13:14:15.123456",
            ],
            Self::TimestampTz => &[
                "1970-01-01 00:00:00+00",
                "2024-03-31 00:59:59.999999+00",
                "2024-03-31 01:00:00+00",
                "2024-10-27 00:30:00+00",
                "2024-10-27 01:30:00+00",
                "2024-03-10 06:59:59+00",
                "2024-11-03 05:30:00+00",
                "2024-11-03 06:30:00+00",
                "2023-04-01 15:00:00+00",
                "1945-05-08 23:01:00+02",
                "1883-11-18 17:00:00+00",
                "1800-06-15 12:00:00+00",
                "0001-01-01 00:00:00+00",
                "2024-02-29 12:00:00.5+05:30",
            ],
            Self::Interval => &[
                "0",
                "1 day",
                "24:00:00",
                "1 month",
                "30 days",
                "-1 mon +1 day -00:00:01.5",
                "1 year 2 mons 3 days 04:05:06.789",
                "-3 days",
                "00:00:00.000001",
                "36:00:00",
                "1 day -25:00:00",
                "-13 months",
                "1.5 days",
                "@ 2 weeks ago",
            ],
            Self::Uuid => &[
                "00000000-0000-0000-0000-000000000000",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
                "550e8400-e29b-41d4-a716-446655440000",
                "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            ],
            Self::Bytea => &["", "\\x00", "\\xff00ab", "\\x616263", "\\x5c27", "\\xc3a4"],
            Self::Jsonb => &[
                "null",
                "true",
                "0",
                "-1.5",
                "12345678901234567890",
                "\"a\"",
                "\"\"",
                "[]",
                "{}",
                "[1, \"a\", null, [2]]",
                "{\"a\": 1, \"b\": {\"c\": [true, null]}}",
                "{\"b\": \"x\", \"aa\": null, \"ä\": \"ß\\n\"}",
                "{\"a\": \"12\", \"b\": []}",
            ],
            Self::Int4Array => &["{}", "{1}", "{1,2,3}", "{NULL}", "{3,NULL,1}", "{2147483647,-2147483648}"],
            Self::TextArray => {
                &["{}", "{a}", "{a,b,NULL}", "{\"\",\" x \"}", "{\"a,b\",\"c\\\"d\",\"NULL\"}", "{ä,😀}"]
            }
        }
    }

    fn far_edges(self) -> &'static [&'static str] {
        match self {
            Self::Numeric => &["123456789012345678901234.5678"],
            Self::Date => &["9999-12-31", "4713-11-24 BC", "5874897-12-31", "2400-02-29"],
            Self::Timestamp => &["9999-12-31 23:59:59.999999", "294246-12-31 12:00:00", "4714-11-24 00:00:00 BC"],
            Self::TimestampTz => {
                &["9999-12-31 23:59:59.999999+00", "294246-12-31 12:00:00+00", "2150-07-01 00:00:00+00"]
            }
            Self::Interval => &["100 years", "178000000 years", "-2147483648 days", "2562047:00:00", "1000 mons"],
            _ => &[],
        }
    }

    fn plain(self) -> &'static [&'static str] {
        match self {
            Self::Bool => &["true", "false"],
            Self::Int2 => &["0", "1", "2", "3", "-2"],
            Self::Int4 => &["0", "1", "1", "2", "5", "10", "-3"],
            Self::Int8 => &["0", "1", "2", "7", "-1", "100"],
            Self::Float4 => &["0", "0.1", "1.5", "-2.25", "3"],
            Self::Float8 => &["0", "0.1", "0.2", "0.3", "1.5", "-2.5", "4", "1e-3"],
            Self::Numeric => &["0", "1", "0.10", "2.5", "-1.25", "33.3333", "10"],
            Self::Text => &["", "a", "b", "B", "abc", "ab", "ä", "12", "x y"],
            Self::Varchar => &["", "a", "b", "abc", "ä"],
            Self::Char => &["", "a", "b", "ab", "ä"],
            Self::Date => &["2024-01-01", "2024-01-31", "2024-02-29", "2024-03-31", "2023-12-31"],
            Self::Time => &["00:00:00", "08:30:00", "12:00:00.5", "23:59:59"],
            Self::Timestamp => &[
                "2024-01-01 00:00:00",
                "2024-01-31 12:30:00",
                "2024-02-29 23:59:59.5",
                "2024-03-31 02:30:00",
                "2024-10-27 02:15:00",
            ],
            Self::TimestampTz => &[
                "2024-01-01 00:00:00+00",
                "2024-03-31 01:00:00+00",
                "2024-10-27 00:30:00+00",
                "2024-07-01 12:00:00+02",
            ],
            Self::Interval => &["1 day", "2 hours", "1 mon", "-1 day", "1 day 02:00:00", "3 mons 5 days"],
            Self::Uuid => &["00000000-0000-0000-0000-000000000001", "550e8400-e29b-41d4-a716-446655440000"],
            Self::Bytea => &["", "\\x61", "\\x6162", "\\xff"],
            Self::Jsonb => &["1", "{\"a\": 1}", "[1, 2]", "\"a\"", "null"],
            Self::Int4Array => &["{1}", "{1,2}", "{2,1,NULL}", "{}"],
            Self::TextArray => &["{a}", "{a,b}", "{b,NULL}", "{}"],
        }
    }

    /// Small values that a shrunk statement may show instead of others.
    pub(crate) fn simple(self) -> &'static [&'static str] {
        match self {
            Self::Bool => &["true"],
            Self::Int2 | Self::Int4 | Self::Int8 | Self::Float4 | Self::Float8 => &["1", "0", "2", "-1"],
            Self::Numeric => &["1", "1.5", "0"],
            Self::Text | Self::Varchar | Self::Char => &["a", "", "ab"],
            Self::Date => &["2024-01-31"],
            Self::Time => &["12:00:00"],
            Self::Timestamp => &["2024-01-31 12:00:00"],
            Self::TimestampTz => &["2024-01-31 12:00:00+00"],
            Self::Interval => &["1 day", "1 mon", "01:00:00"],
            Self::Uuid => &["550e8400-e29b-41d4-a716-446655440000"],
            Self::Bytea => &["\\x61", ""],
            Self::Jsonb => &["1", "{\"a\": 1}", "[1]"],
            Self::Int4Array => &["{1}", "{1,2}"],
            Self::TextArray => &["{a}", "{a,b}"],
        }
    }

    /// A value as the shortest literal that has the type by itself.
    pub(crate) fn literal(self, value: &str) -> String {
        match self {
            Self::Int4 => value.to_string(),
            Self::Bool => value.to_string(),
            Self::Numeric if value.contains('.') => value.to_string(),
            _ => format!("{}::{}", quoted(value), self.name()),
        }
    }

    /// A value in one of the ways that PostgreSQL has to write it.
    pub(crate) fn any_literal(self, value: &str, random: &mut StdRng) -> String {
        let name = self.name();
        let number = self.is_number() && value.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-');
        match random.random_range(0..10) {
            0..3 if number && value.starts_with('-') => format!("({value})::{name}"),
            0..3 if number => format!("{value}::{name}"),
            0..5 if matches!(self, Self::Int4 | Self::Bool | Self::Numeric) => self.literal(value),
            0..5 if self == Self::Text => quoted(value),
            5 => format!("CAST({} AS {name})", quoted(value)),
            6 if !name.ends_with(']') => format!("{name} {}", quoted(value)),
            7 if self != Self::Bool => quoted(value),
            _ => self.literal(value),
        }
    }
}

/// A text in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
