//! Whether the first line of a file holds the names of its columns.
//!
//! Names differ from what stands below them: they are texts where values are numbers, dates or truth values. Where a table is there
//! already, its columns' names say it. What says nothing, or both, is not guessed.

use super::survey::{Kind, Survey};
use std::collections::HashSet;

#[cfg(test)]
mod tests;

/// Whole numbers that are names as often as values.
const YEARS: std::ops::RangeInclusive<u16> = 1900..=2100;

/// The first line of a file and what stands below it.
pub(super) struct FirstLine {
    pub(super) cells: Vec<String>,
    pub(super) below: Vec<Survey>,
    /// Whether a text of the first line is a value further down in its column.
    pub(super) repeats: bool,
}

impl FirstLine {
    /// Whether it holds names, `known` being those of the table if there is one; `None` where that is unclear.
    pub(super) fn is_header(&self, known: &[String]) -> Option<bool> {
        let filled = self.cells.iter().filter(|cell| !cell.trim().is_empty());
        let named = filled.clone().filter(|cell| known.iter().any(|name| same_name(name, cell.trim()))).count();
        if named * 2 > filled.count() {
            return Some(true);
        }
        let signs: HashSet<Sign> =
            self.cells.iter().zip(&self.below).filter_map(|(cell, below)| Sign::of(cell, below)).collect();
        match (signs.contains(&Sign::Name), signs.contains(&Sign::Value)) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            (false, false) if self.repeats => Some(false),
            // A header would name at least one of the columns.
            _ if !known.is_empty() && named == 0 => Some(false),
            _ => None,
        }
    }

    /// The cells as names of columns: one for each, and none twice.
    pub(super) fn names(&self) -> Vec<String> {
        let mut taken: HashSet<String> = HashSet::new();
        let all: HashSet<String> = self.cells.iter().map(|cell| cell.trim().to_lowercase()).collect();
        let name = |(index, cell): (usize, &String)| {
            let cell = cell.trim();
            let first = if cell.is_empty() { format!("column{}", index + 1) } else { cell.to_string() };
            // A made name must not be one that stands further on.
            let is_free = |taken: &HashSet<String>, name: &str| {
                let name = name.to_lowercase();
                !taken.contains(&name) && (name == cell.to_lowercase() || !all.contains(&name))
            };
            let mut candidate = first.clone();
            for number in 2.. {
                if is_free(&taken, &candidate) {
                    break;
                }
                candidate = format!("{first}_{number}");
            }
            taken.insert(candidate.to_lowercase());
            candidate
        };
        self.cells.iter().enumerate().map(name).collect()
    }
}

/// Whether a name of a file means a column: they are found without regard to case.
pub(super) fn same_name(column: &str, name: &str) -> bool {
    column.to_lowercase() == name.to_lowercase()
}

/// What a cell of the first line seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sign {
    Name,
    Value,
}

impl Sign {
    fn of(cell: &str, below: &Survey) -> Option<Self> {
        let cell = cell.trim();
        let above = Kind::of(cell.as_bytes()).class();
        let is_year = cell.parse().is_ok_and(|year: u16| YEARS.contains(&year));
        match (above, below.most()) {
            _ if cell.is_empty() => None,
            (above, Some(below)) if above != Some(below) => Some(Self::Name),
            (Some(_), Some(_)) if !is_year => Some(Self::Value),
            (Some(_), None) if !is_year && below.is_empty() => Some(Self::Value),
            _ => None,
        }
    }
}
