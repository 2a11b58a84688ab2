//! A statement of the tester: a query whose select list can be taken apart.
//!
//!     before   items                     after
//!     SELECT   i4 + 1, upper(t)          FROM near WHERE id = 3 ORDER BY id

use super::tables::Table;
use super::tree::{Mark, Path, Piece, Role, Tree};

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
}

impl Scope {
    /// The clauses behind the select list.
    pub(crate) fn clauses(&self) -> String {
        match self {
            Self::Constant => String::new(),
            Self::Row(table, id) => format!(" FROM {table} WHERE id = {id}"),
            Self::Table(table) => format!(" FROM {table} ORDER BY id"),
            Self::Pair(left, right) => format!(" FROM {left} l JOIN {right} r ON l.id = r.id ORDER BY l.id"),
        }
    }
}

impl Scope {
    /// The clauses that leave one of the rows, for each row of a scope that has several.
    pub(crate) fn single_rows(&self) -> Vec<String> {
        let rows =
            |name: &str| 1..=Table::ALL.iter().find(|table| table.name() == name).map_or(0, |table| table.rows());
        match self {
            Self::Constant | Self::Row(..) => Vec::new(),
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
            ordered: true,
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

    /// The query that gives Σ|x| in place of each sum or average of doubles, and Σ|xy| in place of a covariance; `None` where
    /// there is none.
    pub(crate) fn magnitudes(&self) -> Option<String> {
        let sized = |mark: Mark| matches!(mark, Mark::FloatSum | Mark::RealSum | Mark::Variance);
        let magnitude = |index: usize| if sized(self.mark(index)) { magnitude(self.items.get(index)?) } else { None };
        let magnitudes: Vec<Option<String>> = (0..self.items.len()).map(magnitude).collect();
        if magnitudes.iter().all(Option::is_none) {
            return None;
        }
        Some(self.sql_with(|index, item| magnitudes.get(index).cloned().flatten().unwrap_or_else(|| item.text())))
    }
}

/// `sum(abs(x))` with the clauses of `sum(x)` or `avg(x)`, `sum(abs(y * x))` with those of `covar_pop(y, x)`.
fn magnitude(item: &Tree) -> Option<String> {
    let sum = item.all().into_iter().map(|(_, tree)| tree).find(|tree| tree.mark != Mark::None)?;
    let (summed, rest) = match sum.pieces.as_slice() {
        [Piece::Text(name), Piece::Tree(y, _), Piece::Text(_), Piece::Tree(x, _), rest @ ..] if is_covariance(name) => {
            (format!("({})::float8 * ({})::float8", y.text(), x.text()), rest)
        }
        [Piece::Text(call), rest @ ..] if covariance_of_columns(call).is_some() => {
            let (y, x) = covariance_of_columns(call)?;
            (format!("{y}::float8 * {x}::float8)"), rest)
        }
        [Piece::Text(_), Piece::Tree(argument, _), rest @ ..] if sum.mark != Mark::Variance => {
            (format!("({})::float8", argument.text()), rest)
        }
        _ => return None,
    };
    let rest = Tree { role: Role::Fixed, label: String::new(), mark: Mark::None, pieces: rest.to_vec() };
    Some(format!("sum(abs({summed}){}", rest.text()))
}

/// The columns of `covar_pop(y, x)`.
fn covariance_of_columns(call: &str) -> Option<(&str, &str)> {
    let (name, arguments) = call.split_at(call.find('(')? + 1);
    let columns = arguments.strip_suffix(')').filter(|_| is_covariance(name))?;
    columns.split_once(", ")
}

fn is_covariance(call: &str) -> bool {
    ["covar_pop(", "covar_samp(", "regr_sxy("].contains(&call)
}
