//! Operators as PostgreSQL's lexer cuts them out of the text.
//!
//! Letters of operators that stand together are one operator, but for a `+` or `-` at its end, which belongs to what follows where the
//! operator has none of the letters that only PostgreSQL's own operators have (`scan.l`, rule `operator`):
//!
//!     2*-1     * -          2^-1     ^-, which nobody has
//!     1-+1     - +          j->-1    ->-, of which - is the sign of 1
//!     1<=-1    <= -         x||-1    ||-
//!
//! The parser's tokeniser knows each operator by itself, longest first, and comments; here what stands together is put together again.
//! An operator ends where a comment begins, though the tokeniser would take the comment's first letter for its last: `'a'||/* and */'b'`.

use crate::source_text::SourceText;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan};
use std::borrow::Cow;
use std::cell::OnceCell;

/// The letters that operators are made of.
const LETTERS: &str = "+-*/<>=~!@#%^&|`?";
/// Those that let an operator end with a sign.
const OWN_LETTERS: &str = "~!@#%^&|`?";

/// Whether a text is an operator and no word or mark.
pub(crate) fn is_operator(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| LETTERS.contains(letter))
}

/// The text with blanks for the comments that begin right behind an operator. Everything else stays where it is.
pub(crate) fn without_touching_comments(source: &str) -> Cow<'_, str> {
    let bytes = source.as_bytes();
    let touches = |three: &[u8]| LETTERS.as_bytes().contains(&three[0]) && matches!(&three[1..], b"/*" | b"--");
    if !bytes.windows(3).any(touches) {
        return Cow::Borrowed(source);
    }
    let mut blanked = String::with_capacity(source.len());
    let mut start = 0;
    while start < bytes.len() {
        let (end, is_comment) = piece_end(bytes, start);
        let piece = &source[start..end];
        if is_comment && start > 0 && LETTERS.as_bytes().contains(&bytes[start - 1]) {
            blanked.extend(piece.chars().map(|letter| if letter == '\n' { letter } else { ' ' }));
        } else {
            blanked.push_str(piece);
        }
        start = end;
    }
    Cow::Owned(blanked)
}

/// Where the comment, the quoted text, the word or the letter ends that begins at a place, and whether it is a comment. What is never
/// closed is left to the tokeniser, letter by letter.
pub(crate) fn piece_end(bytes: &[u8], start: usize) -> (usize, bool) {
    let rest = &bytes[start..];
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii();
    let length = match rest {
        [b'-', b'-', ..] => return (start + memchr::memchr(b'\n', rest).unwrap_or(rest.len()), true),
        [b'/', b'*', ..] => match comment_length(rest) {
            Some(length) => return (start + length, true),
            None => rest.len(),
        },
        [b'e' | b'E', b'\'', ..] => 1 + quoted_length(&rest[1..], true),
        [b'\'' | b'"', ..] => quoted_length(rest, false),
        [b'$', ..] => dollar_quoted_length(rest).unwrap_or(1),
        [first, ..] if is_word(first) => rest.iter().take_while(|byte| is_word(byte)).count(),
        _ => 1,
    };
    (start + length, false)
}

/// The length of the comment that a text begins with; comments nest. `None` where it is not closed.
fn comment_length(text: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    while at + 1 < text.len() {
        match &text[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The length of the text in quotes that a text begins with. A quote that is doubled does not end it.
pub(crate) fn quoted_length(text: &[u8], has_escapes: bool) -> usize {
    let quote = text[0];
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' if has_escapes => at += 1,
            byte if byte == quote && text.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// The length of `$tag$ … $tag$`; `None` for a dollar that begins no such text, or one that is not closed.
fn dollar_quoted_length(text: &[u8]) -> Option<usize> {
    let is_tag = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let tag = 2 + text[1..].iter().take_while(|byte| is_tag(byte)).count();
    let opening = text.get(..tag).filter(|opening| opening.ends_with(b"$") && !opening[1].is_ascii_digit())?;
    memchr::memmem::find(&text[tag..], opening).map(|found| tag + found + tag)
}

/// The tokens of a text, with the operators that PostgreSQL finds in it.
pub(crate) fn cut_operators(tokens: Vec<TokenWithSpan>, source: &str) -> Vec<TokenWithSpan> {
    let mut cut = Vec::with_capacity(tokens.len());
    let mut run: Vec<TokenWithSpan> = Vec::new();
    // Most texts have no place that is asked for.
    let places = OnceCell::new();
    let places = || places.get_or_init(|| SourceText::new(source));
    for token in tokens {
        if is_part(&token.token) {
            run.push(token);
            continue;
        }
        take_run(&mut run, &places, &mut cut);
        cut.push(token);
    }
    take_run(&mut run, &places, &mut cut);
    cut
}

/// Whether a token is made of the letters of operators. A question mark takes the digits behind it along.
fn is_part(token: &Token) -> bool {
    match token {
        Token::Placeholder(text) => text.starts_with('?'),
        Token::Char(letter) => LETTERS.contains(*letter),
        Token::Word(_)
        | Token::Number(..)
        | Token::Whitespace(_)
        | Token::SingleQuotedString(_)
        | Token::Comma
        | Token::LParen
        | Token::RParen
        | Token::Period
        | Token::SemiColon
        | Token::EOF => false,
        other => is_operator(&other.to_string()),
    }
}

/// Moves what stands together to the tokens, as the operators that it is.
fn take_run<'a, 's: 'a>(
    run: &mut Vec<TokenWithSpan>,
    places: &impl Fn() -> &'a SourceText<'s>,
    cut: &mut Vec<TokenWithSpan>,
) {
    if let [only] = run.as_slice()
        && !matches!(
            only.token,
            Token::Placeholder(_)
                | Token::Char(_)
                | Token::DoubleEq
                | Token::Spaceship
                | Token::ExclamationMark
                | Token::DoubleExclamationMark
        )
    {
        cut.append(run);
        return;
    }
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
    let (start, end) = (first.span.start, last.span.end);
    let source = places();
    let text = source.text().get(source.byte_of(start)..source.byte_of(end)).unwrap_or_default();
    let (operators, digits) = text.split_at(text.trim_end_matches(|letter: char| letter.is_ascii_digit()).len());
    let mut column = start.column;
    let mut push = |token: Token, length: usize| {
        let after = column + length as u64;
        let place = |column| Location { line: start.line, column };
        cut.push(TokenWithSpan { token, span: Span::new(place(column), place(after)) });
        column = after;
    };
    let mut rest = operators;
    while !rest.is_empty() {
        let length = operator_length(rest);
        push(token_of(&rest[..length]), length);
        rest = &rest[length..];
    }
    if !digits.is_empty() {
        push(Token::Number(digits.to_string(), false), digits.len());
    }
    run.clear();
}

/// How many letters the first operator of a text has.
fn operator_length(text: &str) -> usize {
    if text.contains(|letter| OWN_LETTERS.contains(letter)) {
        return text.len();
    }
    text.trim_end_matches(['+', '-']).len().max(1)
}

/// The parser's token for an operator.
fn token_of(operator: &str) -> Token {
    match operator {
        "+" => Token::Plus,
        "-" => Token::Minus,
        "*" => Token::Mul,
        "/" => Token::Div,
        "%" => Token::Mod,
        "^" => Token::Caret,
        "<" => Token::Lt,
        ">" => Token::Gt,
        "=" => Token::Eq,
        "<=" => Token::LtEq,
        ">=" => Token::GtEq,
        "<>" | "!=" => Token::Neq,
        "=>" => Token::RArrow,
        "->" => Token::Arrow,
        "->>" => Token::LongArrow,
        "#>" => Token::HashArrow,
        "#>>" => Token::HashLongArrow,
        "#-" => Token::HashMinus,
        "@>" => Token::AtArrow,
        "<@" => Token::ArrowAt,
        "@?" => Token::AtQuestion,
        "@@" => Token::AtAt,
        "?" => Token::Question,
        "?|" => Token::QuestionPipe,
        "?&" => Token::QuestionAnd,
        "&&" => Token::Overlap,
        "||" => Token::StringConcat,
        "|" => Token::Pipe,
        "&" => Token::Ampersand,
        "#" => Token::Sharp,
        "<<" => Token::ShiftLeft,
        ">>" => Token::ShiftRight,
        "~" => Token::Tilde,
        "~*" => Token::TildeAsterisk,
        "!~" => Token::ExclamationMarkTilde,
        "!~*" => Token::ExclamationMarkTildeAsterisk,
        "~~" => Token::DoubleTilde,
        "~~*" => Token::DoubleTildeAsterisk,
        "!~~" => Token::ExclamationMarkDoubleTilde,
        "!~~*" => Token::ExclamationMarkDoubleTildeAsterisk,
        "^@" => Token::CaretAt,
        "@" => Token::AtSign,
        "|/" => Token::PGSquareRoot,
        "||/" => Token::PGCubeRoot,
        other => Token::CustomBinaryOperator(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::{operator_length, token_of, without_touching_comments};
    use datafusion::sql::sqlparser::tokenizer::Token;

    fn operators(mut text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        while !text.is_empty() {
            let (first, rest) = text.split_at(operator_length(text));
            found.push(first);
            text = rest;
        }
        found
    }

    #[test]
    fn a_sign_ends_an_operator_only_behind_letters_of_postgresql() {
        for (text, expected) in [
            ("-+", vec!["-", "+"]),
            ("+++", vec!["+", "+", "+"]),
            ("*-", vec!["*", "-"]),
            ("<=-", vec!["<=", "-"]),
            ("->-", vec!["->", "-"]),
            ("=>-", vec!["=>", "-"]),
            ("^-", vec!["^-"]),
            ("#-", vec!["#-"]),
            ("||-", vec!["||-"]),
            ("*-@", vec!["*-@"]),
            ("+@", vec!["+@"]),
            ("**", vec!["**"]),
        ] {
            assert_eq!(operators(text), expected, "{text}");
        }
    }

    #[test]
    fn comments_end_operators_and_nothing_else_moves() {
        for (text, expected) in [
            ("'a'||/*c*/'b'", "'a'||     'b'"),
            ("5|/*c /* ä */ */3", "5|              3"),
            ("1#--c\n2", "1#   \n2"),
            ("a /*c*/ + 1 --c", "a /*c*/ + 1 --c"),
            ("'|/*c*/'|/*c*/1", "'|/*c*/'|     1"),
            ("e'\\'|/*'|/*c*/1", "e'\\'|/*'|     1"),
            ("\"|/*\"|--c", "\"|/*\"|   "),
            ("$$|/*$$|/**/$1", "$$|/*$$|    $1"),
            ("$a$ |/* $$ $a$+--c\n1", "$a$ |/* $$ $a$+   \n1"),
            ("a$b$ |/**/ a$b$", "a$b$ |     a$b$"),
            ("1|/*c", "1|/*c"),
            ("'|/*c", "'|/*c"),
            ("-----c\n1", "-----c\n1"),
        ] {
            assert_eq!(without_touching_comments(text), expected, "{text}");
        }
    }

    #[test]
    fn what_nobody_has_is_an_operator_of_its_own() {
        assert_eq!(token_of("^-"), Token::CustomBinaryOperator("^-".into()));
        assert_eq!(token_of("#-"), Token::HashMinus);
    }
}
