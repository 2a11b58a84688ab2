//! Parentheses in statements and in definitions of views.

use crate::error::ErrorKind;
use crate::statement::{parse, parse_definition};

const DOUBLED: &str = "((SELECT a, b FROM t ORDER BY a LIMIT 3) ORDER BY b) OFFSET 1";

#[test]
fn a_clause_that_is_there_twice_is_refused_in_statements() {
    let error = parse(DOUBLED).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Syntax, "multiple ORDER BY clauses not allowed"));
    assert!(parse("(SELECT a, b FROM t ORDER BY a LIMIT 3) OFFSET 1").is_ok());
}

#[test]
fn a_definition_that_was_taken_with_such_clauses_opens() {
    let query = parse_definition(DOUBLED).unwrap();
    assert_eq!(query.to_string(), "(SELECT a, b FROM t ORDER BY a LIMIT 3) ORDER BY b OFFSET 1");
    let query = parse_definition("(SELECT a FROM t ORDER BY a) LIMIT 1;").unwrap();
    assert_eq!(query.to_string(), "SELECT a FROM t ORDER BY a LIMIT 1");
}
