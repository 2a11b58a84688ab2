//! Expressions and clauses as trees of text, so that a part can be replaced by a simpler one.
//!
//! A tree is what its template became: pieces of text and, where the template had slots, other trees. It knows the type
//! that the expression was meant to have, but nothing of what the text means.

use super::values::Type;

/// What a tree stands for, which says what may take its place when a statement is shrunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An expression; its type, unless it was put together without regard to types.
    Value(Option<Type>),
    /// A literal or keyword that stays.
    Fixed,
    /// A clause that may be left out.
    Optional,
}

/// A listed difference that a production's results have; see `listed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    #[default]
    None,
    /// A cube root, whose last digit is that of PostgreSQL's C library.
    CubeRoot,
    /// Something computed from a cube root.
    OfCubeRoot,
    /// A numeric whose scale is chosen otherwise.
    Scale,
    /// A double precision where PostgreSQL has a numeric.
    Double,
    /// A variance or the like of doubles, which depends on the order of rows.
    Variance,
    /// A sum or average of doubles, which Meridian rounds once.
    FloatSum,
    /// A sum of reals, rounded once.
    RealSum,
}

/// A piece of a tree's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// A tree, in parentheses where the second is true.
    Tree(Box<Tree>, bool),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    pub role: Role,
    /// The template, which names a difference.
    pub label: String,
    pub mark: Mark,
    pub pieces: Vec<Piece>,
}

/// Where a tree stands below another: the number of the piece at each level.
pub(crate) type Path = Vec<usize>;

impl Tree {
    /// Text without slots.
    pub(crate) fn leaf(role: Role, label: &str, text: impl Into<String>) -> Self {
        Self { role, label: label.to_string(), mark: Mark::None, pieces: vec![Piece::Text(text.into())] }
    }

    pub(crate) fn fixed(text: impl Into<String>) -> Self {
        Self::leaf(Role::Fixed, "", text)
    }

    pub(crate) fn empty() -> Self {
        Self::fixed("")
    }

    /// Trees behind each other.
    pub(crate) fn sequence(role: Role, label: &str, trees: Vec<Self>) -> Self {
        let pieces = trees.into_iter().map(|tree| Piece::Tree(Box::new(tree), false)).collect();
        Self { role, label: label.to_string(), mark: Mark::None, pieces }
    }

    /// A clause that may be left out: a keyword and trees between commas.
    pub(crate) fn clause(keyword: &str, trees: Vec<Self>) -> Self {
        let mut pieces = vec![Piece::Text(keyword.to_string())];
        for (index, tree) in trees.into_iter().enumerate() {
            if index > 0 {
                pieces.push(Piece::Text(", ".into()));
            }
            pieces.push(Piece::Tree(Box::new(tree), false));
        }
        Self { role: Role::Optional, label: keyword.trim().to_string(), mark: Mark::None, pieces }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Tree(tree, true) => {
                    text.push('(');
                    tree.write(text);
                    text.push(')');
                }
                Piece::Tree(tree, false) => tree.write(text),
            }
        }
    }

    /// The type of an expression that has one.
    pub(crate) fn value_type(&self) -> Option<Type> {
        match self.role {
            Role::Value(of_type) => of_type,
            _ => None,
        }
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = &Self> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Tree(tree, _) => Some(tree.as_ref()),
            Piece::Text(_) => None,
        })
    }

    /// How many trees this one consists of.
    pub(crate) fn size(&self) -> usize {
        1 + self.children().map(Self::size).sum::<usize>()
    }

    /// True for the name of a column.
    pub(crate) fn is_column(&self) -> bool {
        let text = self.text();
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let is_word = !matches!(text.as_str(), "true" | "false" | "null");
        self.size() == 1 && begins && is_word && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
    }

    /// True when a template of the tree has the mark.
    pub(crate) fn has_mark(&self, mark: Mark) -> bool {
        self.mark == mark || self.children().any(|child| child.has_mark(mark))
    }

    /// Every tree in this one, itself first, with its place.
    pub(crate) fn all(&self) -> Vec<(Path, &Self)> {
        let mut found = vec![(Path::new(), self)];
        for (index, piece) in self.pieces.iter().enumerate() {
            if let Piece::Tree(tree, _) = piece {
                for (mut path, inner) in tree.all() {
                    path.insert(0, index);
                    found.push((path, inner));
                }
            }
        }
        found
    }

    /// This tree with another one at a place.
    pub(crate) fn replaced(&self, path: &[usize], new: Self) -> Self {
        let Some((first, rest)) = path.split_first() else { return new };
        let mut copy = self.clone();
        if let Some(Piece::Tree(tree, parenthesised)) = copy.pieces.get_mut(*first) {
            *parenthesised |= rest.is_empty() && !is_atomic(&new.text());
            **tree = tree.replaced(rest, new);
        }
        copy
    }
}

/// True for a cube root itself.
pub(crate) fn is_cube_root(tree: &Tree) -> bool {
    tree.label.starts_with("cbrt(") || tree.label.starts_with("||/")
}

/// True for text that no operator beside it can tear apart: a name, a call, a literal without a sign.
pub(crate) fn is_atomic(text: &str) -> bool {
    let mut depth = 0;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ if depth > 0 => {}
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => {}
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{Role, Tree, is_atomic};

    #[test]
    fn a_tree_that_takes_a_place_stands_in_parentheses_where_it_has_to() {
        let value = |text: &str| Tree::leaf(Role::Value(None), "", text);
        let sum = Tree::sequence(Role::Value(None), "", vec![value("a"), Tree::fixed(" * "), value("b")]);
        assert_eq!(sum.replaced(&[0], value("1 + 2")).text(), "(1 + 2) * b");
        assert_eq!(sum.replaced(&[2], value("f(1, 2)")).text(), "a * f(1, 2)");
        assert!(!is_atomic("-1"));
        assert!(!is_atomic("'a'::text"));
    }
}
