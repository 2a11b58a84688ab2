//! A statement of the tester: a query whose select list can be taken apart.
//!
//!     before   items                     after
//!     SELECT   i4 + 1, upper(t)          FROM near WHERE id = 3 ORDER BY id

use super::tables::Table;
use super::tree::{Mark, Path, Tree};

/// Rows over which an expression of a statement can be asked for by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// None: the expressions are constant.
    Constant,
    /// One row of a table.
    Row(&'static str, usize),
    /// All rows of a table.
    Table(&'static str),
    /// Rows of two tables with the same id, named `l` and `r`.
    Pair(&'static str, &'static str),
    /// What something else in FROM gives, in no order.
    Source(&'static str),
}

impl Scope {
    /// The clauses behind the select list.
    pub(crate) fn clauses(&self) -> String {
        match self {
            Self::Constant => String::new(),
            Self::Row(table, id) => format!(" FROM {table} WHERE id = {id}"),
            Self::Table(table) => format!(" FROM {table} ORDER BY id"),
            Self::Pair(left, right) => format!(" FROM {left} l JOIN {right} r ON l.id = r.id ORDER BY l.id"),
            Self::Source(source) => format!(" FROM {source}"),
        }
    }
}

impl Scope {
    /// The clauses that leave one of the rows, for each row of a scope that has several.
    pub(crate) fn single_rows(&self) -> Vec<String> {
        let rows =
            |name: &str| 1..=Table::ALL.iter().find(|table| table.name() == name).map_or(0, |table| table.rows());
        match self {
            Self::Constant | Self::Row(..) | Self::Source(_) => Vec::new(),
            Self::Table(name) => rows(name).map(|id| Self::Row(name, id).clauses()).collect(),
            Self::Pair(left, right) => {
                let clauses = |id| format!(" FROM {left} l JOIN {right} r ON l.id = r.id WHERE l.id = {id}");
                rows(left).map(clauses).collect()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The session's TimeZone.
    pub zone: &'static str,
    pub before: Tree,
    pub items: Vec<Tree>,
    pub after: Tree,
    /// True when the order of rows is fully defined.
    pub ordered: bool,
    /// Items in front that stay, because other clauses count them.
    pub items_fixed: usize,
    pub scope: Scope,
    /// False for a statement that is just expressions over its scope.
    pub is_query: bool,
}

/// Which of a statement's trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Before,
    Item(usize),
    After,
}

impl Statement {
    /// Expressions over a scope.
    pub(crate) fn of_expressions(zone: &'static str, items: Vec<Tree>, scope: Scope) -> Self {
        Self {
            zone,
            before: Tree::fixed("SELECT "),
            items,
            after: Tree::fixed(scope.clauses()),
            ordered: !matches!(scope, Scope::Source(_)),
            items_fixed: 0,
            scope,
            is_query: false,
        }
    }

    pub(crate) fn sql(&self) -> String {
        self.sql_with(|_, item| item.text())
    }

    /// The statement with other texts for its items.
    pub(crate) fn sql_with(&self, text: impl Fn(usize, &Tree) -> String) -> String {
        let items: Vec<String> = self.items.iter().enumerate().map(|(index, item)| text(index, item)).collect();
        format!("{}{}{}", self.before.text(), items.join(", "), self.after.text())
    }

    pub(crate) fn part(&self, part: Part) -> &Tree {
        match part {
            Part::Before => &self.before,
            Part::Item(index) => &self.items[index],
            Part::After => &self.after,
        }
    }

    pub(crate) fn part_mut(&mut self, part: Part) -> &mut Tree {
        match part {
            Part::Before => &mut self.before,
            Part::Item(index) => &mut self.items[index],
            Part::After => &mut self.after,
        }
    }

    /// Every tree of the statement with its place.
    pub(crate) fn all(&self) -> Vec<(Part, Path, &Tree)> {
        let parts = [Part::Before, Part::After].into_iter().chain((0..self.items.len()).map(Part::Item));
        parts.flat_map(|part| self.part(part).all().into_iter().map(move |(path, tree)| (part, path, tree))).collect()
    }

    /// What the statement would be with another tree in a place.
    pub(crate) fn replaced(&self, part: Part, path: &[usize], new: Tree) -> Self {
        let mut copy = self.clone();
        *copy.part_mut(part) = self.part(part).replaced(path, new);
        copy
    }

    /// The mark of an item, the highest where it has several.
    pub(crate) fn mark(&self, item: usize) -> Mark {
        let Some(item) = self.items.get(item) else { return Mark::None };
        let highest = item.all().into_iter().map(|(_, tree)| tree.mark).max().unwrap_or_default();
        if highest == Mark::CubeRoot && item.mark != Mark::CubeRoot { Mark::OfCubeRoot } else { highest }
    }
}
