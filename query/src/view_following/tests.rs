//! Tests of what views' texts become.

use super::*;
use catalog::ids::ColumnId;
use catalog::sql_type::SqlType;

fn columns(names: &[(i32, &str)]) -> Vec<Column> {
    names.iter().map(|(id, name)| Column::new(ColumnId(*id), *name, SqlType::Text)).collect()
}

fn change(after: (&str, &[(i32, &str)])) -> Change {
    let before = columns(&[(1, "a"), (2, "b"), (3, "c")]);
    let old = ObjectName::new("public", "t");
    let new = ObjectName::new("public", after.0);
    Change::new((&old, &before), (&new, &columns(after.1)))
}

fn check(text: &str, change: &Change, expected: &str) {
    let found = followed(text, change).expect("a text that parses");
    assert_eq!(found.unwrap_or_else(|| "refused".to_string()), expected);
}

#[test]
fn another_name_of_the_relation_changes_nothing_else() {
    let renamed = change(("Facts", &[(1, "a"), (2, "b"), (3, "c")]));
    check(
        "SELECT a, count(*) FROM public.t AS t WHERE EXISTS (SELECT 1 FROM public.t AS u, other.t AS o) GROUP BY a",
        &renamed,
        "SELECT a, count(*) FROM public.\"Facts\" AS t WHERE EXISTS (SELECT 1 FROM public.\"Facts\" AS u, \
         other.t AS o) GROUP BY a",
    );
}

#[test]
fn a_column_is_renamed_in_place_where_nothing_else_can_be_meant() {
    let renamed = change(("t", &[(1, "district"), (2, "b"), (3, "c")]));
    check(
        "SELECT a, sum(b) AS total FROM public.t AS t WHERE t.a > 'x' GROUP BY a HAVING max(a) < 'y' ORDER \
         BY a, upper(a)",
        &renamed,
        "SELECT district AS a, sum(b) AS total FROM public.t AS t WHERE t.district > 'x' GROUP BY district HAVING \
         max(district) < 'y' ORDER BY a, upper(district)",
    );
}

#[test]
fn a_list_of_columns_is_put_where_names_may_mean_several_things() {
    let renamed = change(("t", &[(1, "district"), (2, "b"), (3, "c")]));
    check(
        "SELECT t.a, u.a FROM public.t AS t JOIN public.u AS u USING(b)",
        &renamed,
        "SELECT t.a, u.a FROM (SELECT t.district AS a, t.b AS b, t.c AS c FROM public.t AS t) AS t JOIN \
         public.u AS u USING(b)",
    );
    // The new name was another's already.
    check(
        "SELECT a, upper(b) AS district FROM public.t AS t GROUP BY a, district",
        &renamed,
        "SELECT a, upper(b) AS district FROM (SELECT t.district AS a, t.b AS b, t.c AS c FROM public.t AS t) AS t \
         GROUP BY a, district",
    );
}

#[test]
fn a_list_follows_without_another_list() {
    let swapped = change(("t", &[(1, "b"), (2, "a"), (3, "c"), (4, "d")]));
    check(
        "SELECT * FROM (SELECT t.a AS x, t.b AS a FROM public.t AS t) AS t",
        &swapped,
        "SELECT * FROM (SELECT t.b AS x, t.a AS a FROM public.t AS t) AS t",
    );
}

#[test]
fn columns_that_come_are_kept_from_texts_that_would_tell() {
    let added = change(("t", &[(1, "a"), (2, "b"), (3, "c"), (4, "d")]));
    let same = [
        "SELECT a, count(*) FROM public.t AS t GROUP BY a",
        "SELECT t.a * 2 FROM public.t AS t JOIN public.u AS u USING(b)",
        "SELECT u.* FROM (SELECT a FROM public.t AS t) AS u",
    ];
    for text in same {
        assert_eq!(followed(text, &added).expect("a text that parses").as_deref(), Some(text));
    }
    let told = [
        "SELECT * FROM public.t AS t",
        "SELECT a FROM public.t AS t NATURAL JOIN public.u AS u",
        "SELECT to_json(t) FROM public.t AS t",
        "SELECT count(t) FROM public.t AS t",
        "SELECT a FROM public.t AS t, public.u AS u WHERE d = 1",
    ];
    let list = "(SELECT t.a AS a, t.b AS b, t.c AS c FROM public.t AS t) AS t";
    for text in told {
        let expected = text.replace("public.t AS t", list);
        assert_eq!(followed(text, &added).expect("a text that parses"), Some(expected));
    }
    let whole = followed("SELECT count(t.*) FROM public.t AS t", &added).expect("a text that parses");
    assert_eq!(whole, Some(format!("SELECT count((t.*)) FROM {list}")));
}

#[test]
fn columns_that_go_leave_the_lists() {
    let dropped = change(("t", &[(1, "a"), (3, "c")]));
    check(
        "SELECT a FROM (SELECT t.a AS a, t.b AS b, t.c AS c FROM public.t AS t) AS t",
        &dropped,
        "SELECT a FROM (SELECT t.a AS a, t.c AS c FROM public.t AS t) AS t",
    );
    check("SELECT y FROM public.t AS t (x, y)", &dropped, "refused");
}
