//! `meridian generate`: to standard output, or to a server.

use super::relations::{Relation, Rows};
use super::sending::{self, Target};
use super::stream::{Counts, Shares, Stream};
use super::{Order, PIECE_BYTES, ROWS_MAX, Sales};
use crate::output::say;
use anyhow::bail;
use clap::Args;
use std::io::{self, Write};
use std::path::PathBuf;

/// Write generated sales and what belongs to them as csv, or send them to a server.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  meridian generate --rows 1000000 > sales.csv
  meridian generate --rows 50000 --seed 2 --first-id 1000001 --header > more.csv
  meridian generate customers --rows 1000000     those who buy in a million sales
  meridian generate --ddl                        the table that the rows fit
  meridian generate --late 0.05 --duplicates 0.01 --dirty 0.001 > stream.csv
  meridian generate --to 127.0.0.1:5433 --create --rate 10000 --dirty 0.001")]
pub(crate) struct GenerateOptions {
    /// What to generate.
    #[arg(value_enum, default_value_t)]
    what: Relation,
    /// How many sales.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(..=ROWS_MAX))]
    rows: u64,
    /// The same seed and number of rows give the same sales.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The first transaction_id.
    #[arg(long, value_name = "ID", default_value_t = 1, value_parser = clap::value_parser!(u64).range(..=ROWS_MAX))]
    first_id: u64,
    /// Begin with a line of column names.
    #[arg(long)]
    header: bool,
    /// The same rows in random order instead of by date.
    #[arg(long)]
    shuffle: bool,
    /// Print the CREATE TABLE that the rows fit, and nothing else.
    #[arg(long)]
    ddl: bool,
    /// This share of the sales, from 0 to 1, is of the ten busiest customers and products.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    skew: f64,
    /// This share of the sales comes up to 10,000 sales late.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    late: f64,
    /// This share of the sales comes twice.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    duplicates: f64,
    /// This share of the lines cannot be loaded.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    dirty: f64,
    /// Send the rows to this server by COPY, dirty ones into a table of rejects.
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["header", "ddl"])]
    to: Option<String>,
    /// The table to send to [default: the name of what is generated]
    #[arg(long, value_name = "NAME", requires = "to")]
    table: Option<String>,
    /// Create the table where there is none.
    #[arg(long, requires = "to")]
    create: bool,
    /// So many rows a second, each tenth of a second a COPY of its own; all in one COPY without it.
    #[arg(long, value_name = "N", requires = "to", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// A file whose first line is the server's password [env: MERIDIAN_PASSWORD holds the password itself]
    #[arg(long, value_name = "FILE", requires = "to")]
    password_file: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share is a number from 0 to 1".to_string()),
    }
}

/// Runs the command.
pub(crate) async fn run(options: GenerateOptions) -> anyhow::Result<()> {
    let name = options.table.as_deref().unwrap_or(options.what.name());
    if options.ddl {
        return written(writeln!(io::stdout(), "{};", options.what.definition(name)));
    }
    let sales = Sales::new(options.rows, options.seed, options.first_id).with_skew(options.skew);
    let mut lines = Lines::new(&options, &sales)?;
    match &options.to {
        Some(server) => {
            let target = Target {
                server,
                table: name,
                definition: options.create.then(|| options.what.definition(name)),
                rejects: options.dirty > 0.0,
                rate: options.rate,
                password_file: options.password_file.as_deref(),
            };
            let seconds = sending::send(&target, &mut lines).await?;
            let lines = lines.counts().lines;
            say(&format!("{lines} rows in {seconds:.1} s, {:.0} a second", lines as f64 / seconds.max(0.001)));
        }
        None => written(print(&options, &mut lines))?,
    }
    if options.late + options.duplicates + options.dirty > 0.0 {
        let Counts { lines, late, duplicates, dirty } = lines.counts();
        say(&format!("{lines} lines: {late} late, {duplicates} once more, {dirty} dirty"));
    }
    Ok(())
}

fn print(options: &GenerateOptions, lines: &mut Lines<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if options.header {
        writeln!(out, "{}", options.what.header())?;
    }
    let mut piece = Vec::with_capacity(PIECE_BYTES + 256);
    loop {
        while piece.len() < PIECE_BYTES && lines.write_next(&mut piece) {}
        if piece.is_empty() {
            return out.flush();
        }
        out.write_all(&piece)?;
        piece.clear();
    }
}

/// `meridian generate | head` is no failure.
fn written(outcome: io::Result<()>) -> anyhow::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The lines that were asked for.
pub(super) enum Lines<'a> {
    Sales(Stream<'a>),
    Other(Rows<'a>, Counts),
}

impl<'a> Lines<'a> {
    fn new(options: &GenerateOptions, sales: &'a Sales) -> anyhow::Result<Self> {
        let GenerateOptions { late, duplicates, dirty, .. } = *options;
        let shares = Shares { late, duplicates, dirty };
        if options.what == Relation::Sales {
            let order = if options.shuffle { Order::Random } else { Order::ByDate };
            return Ok(Self::Sales(Stream::new(sales, order, shares)));
        }
        if shares != Shares::default() || options.shuffle {
            bail!("--shuffle, --late, --duplicates and --dirty are for sales");
        }
        Ok(Self::Other(Rows::new(sales, options.what), Counts::default()))
    }

    /// Appends the next line; false where there is none.
    pub(super) fn write_next(&mut self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Sales(stream) => stream.write_next(out),
            Self::Other(rows, counts) => {
                let is_there = rows.write_next(out);
                counts.lines += u64::from(is_there);
                is_there
            }
        }
    }

    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::Sales(stream) => stream.counts(),
            Self::Other(_, counts) => *counts,
        }
    }
}
