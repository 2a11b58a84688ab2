//! Statements that programs write: thousands of operators, hundreds of relations. They are answered, or refused with 54001; the server
//! lives on.

use crate::wire::Fixture;
use sql_tests::session::Session;

fn joined(count: usize, separator: &str, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect::<Vec<_>>().join(separator)
}

/// Ways to write a statement with so many parts.
fn shapes(count: usize) -> Vec<(&'static str, String)> {
    let chain = |operator: &str| format!("SELECT {}", joined(count, operator, |_| "1".into()));
    let over_one = |operator: &str, item: &dyn Fn(usize) -> String| {
        format!("SELECT count(*) FROM (VALUES (1)) t (x) WHERE {}", joined(count, operator, item))
    };
    vec![
        ("+", chain(" + ")),
        ("||", format!("SELECT {}", joined(count, " || ", |_| "'a'".into()))),
        ("IS", format!("SELECT 1{}", " IS NOT NULL".repeat(count))),
        ("AT TIME ZONE", format!("SELECT now(){}", " AT TIME ZONE 'UTC'".repeat(count))),
        ("CASE", format!("SELECT {}", joined(count, " + ", |_| "CASE WHEN 1 = 1 THEN 1 ELSE 0 END".into()))),
        ("::", format!("SELECT 1{}", "::integer".repeat(count))),
        ("OR", over_one(" OR ", &|number| format!("x = {number}"))),
        ("AND", over_one(" AND ", &|number| format!("x <> {}", number + 2))),
        ("AND of two columns", over_one(" AND ", &|number| format!("x + {number} > x - {number} - 1"))),
        ("IN", over_one(" OR ", &|number| format!("x IN ({number}, {})", number + 1))),
        ("UNION ALL", joined(count, " UNION ALL ", |_| "SELECT 1".into())),
    ]
}

/// Ways to write a statement with so many parts that none of them stands in another.
fn lists(count: usize) -> Vec<String> {
    let case = "CASE WHEN 1 = 1 THEN 1 ELSE 0 END";
    vec![
        format!("INSERT INTO listed VALUES {}", joined(count, ", ", |number| format!("({number}, 'a')"))),
        format!("INSERT INTO listed VALUES {}", joined(count, ", ", |number| format!("(-{number}, upper('a'))"))),
        format!("VALUES {}", joined(count, ", ", |number| format!("({number})"))),
        format!("SELECT (1, 2) IN ({})", joined(count, ", ", |number| format!("({number}, 2)"))),
        format!("SELECT {}", joined(count, ", ", |number| format!("({number} + 1)"))),
        format!("SELECT {}", joined(count, ", ", |_| case.into())),
        format!("SELECT {}", joined(count, ", ", |_| format!("sum({case})"))),
        format!("SELECT {}", joined(count, ", ", |number| format!("(SELECT {number})"))),
        format!("SELECT {}", joined(count, ", ", |number| format!("-{number}"))),
        format!("SELECT ARRAY[{}]", joined(count, ", ", |number| format!("[{number}]"))),
        format!(
            "SELECT count(*) FROM listed GROUP BY GROUPING SETS ({})",
            joined(count / 20, ", ", |_| "(a), (b)".into())
        ),
    ]
}

async fn outcome(session: &Session, statement: &str) -> String {
    match session.run(statement).await {
        Ok(_) => "answered".into(),
        Err(failure) if failure.has_code("54001") => "refused".into(),
        Err(failure) => format!("{failure:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_chains_are_answered_or_refused() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    for (name, statement) in shapes(60) {
        assert_eq!(outcome(&session, &statement).await, "answered", "60 × {name}");
    }
    for (name, statement) in shapes(1100) {
        let balanced = ["OR", "AND", "AND of two columns", "IN"].contains(&name);
        let expected = if balanced { "answered" } else { "refused" };
        assert_eq!(outcome(&session, &statement).await, expected, "1100 × {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_any_length() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    session.run("CREATE TABLE listed (a integer, b text)").await.unwrap();
    for statement in lists(400) {
        assert_eq!(outcome(&session, &statement).await, "answered", "{}…", &statement[..40]);
    }
    let rows = joined(20_000, ", ", |number| format!("({number}, 'a')"));
    session.run(&format!("INSERT INTO listed VALUES {rows}")).await.unwrap();
    assert_eq!(session.value("SELECT count(*) FROM listed").await.unwrap().unwrap(), "20800");
    for sum in [
        joined(160, " + ", |_| "(1)".into()),
        joined(160, " + ", |_| "CASE WHEN 1 = 1 THEN 1 ELSE 0 END".into()),
        joined(160, " || ", |_| "('a')".into()),
    ] {
        assert_eq!(outcome(&session, &format!("SELECT {sum}")).await, "answered", "{}…", &sum[..20]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_is_refused_at_once() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    let wrong = [
        format!("SELECT {}1 +{}", "cast(".repeat(40), " AS int)".repeat(40)),
        format!("SELECT {}1{}", "ARRAY[".repeat(300), "]".repeat(300)),
        format!("SELECT {}true +{}", "NOT (".repeat(40), ")".repeat(40)),
        format!("SELECT {}1 +{}", "CASE (".repeat(40), ") WHEN 1 THEN 1 END".repeat(40)),
    ];
    for statement in wrong {
        assert_ne!(outcome(&session, &statement).await, "answered", "{statement}");
    }
    let nested = [
        format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("SELECT {}true", "NOT ".repeat(5000)),
        format!("SELECT {}1 +{}", "extract(year FROM ".repeat(40), ")".repeat(40)),
        format!("SELECT {}'a' IN 'b' +{}", "position(".repeat(40), ")".repeat(40)),
    ];
    for statement in nested {
        assert_eq!(outcome(&session, &statement).await, "refused", "{}…", &statement[..40]);
    }
    let lists = format!("SELECT {}true{}", "1 IN ((SELECT 1 WHERE ".repeat(6), ") + 0)".repeat(6));
    assert_eq!(outcome(&session, &lists).await, "answered");
    let calls = format!("DEFAULT {}'x'{}", "replace(".repeat(30), ", 'x', 'x')".repeat(30));
    session.run(&format!("CREATE TABLE defaults (a integer, b text {calls})")).await.unwrap();
    session.run("INSERT INTO defaults (a) VALUES (1)").await.unwrap();
    assert_eq!(session.value("SELECT b FROM defaults").await.unwrap().unwrap(), "x");
}
