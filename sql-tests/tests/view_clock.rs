//! Views whose definitions read the clock, in every place where planning computes a value: each read is of its own time.

use crate::wire::Fixture;
use sql_tests::session::Session;

/// A number below 97 that changes with every microsecond, and is one during a statement.
const TICK: &str = "(extract(microseconds FROM now())::integer % 97)";
/// How often each view is compared with its query.
const MOMENTS: usize = 4;

/// What reads the clock, and a query over `t` (a from 1 to 100) whose answer is another one when `TICK` is.
const TICKING: [(&str, &str); 22] = [
    ("range", "SELECT a, count(*) OVER (ORDER BY a RANGE BETWEEN TICK PRECEDING AND CURRENT ROW) AS n FROM t"),
    ("rows", "SELECT a, count(*) OVER (ORDER BY a ROWS TICK PRECEDING) AS n FROM t"),
    ("groups", "SELECT a, count(*) OVER (ORDER BY a GROUPS BETWEEN CURRENT ROW AND TICK FOLLOWING) AS n FROM t"),
    ("named_frame", "SELECT a, sum(a) OVER w AS n FROM t WINDOW w AS (ORDER BY a RANGE TICK PRECEDING)"),
    ("frame_of_days", "SELECT a, count(*) OVER (ORDER BY d RANGE make_interval(days => TICK) PRECEDING) AS n FROM t"),
    ("frame_over_groups", "SELECT a, sum(sum(b)) OVER (ORDER BY a ROWS TICK PRECEDING) AS n FROM t GROUP BY a"),
    ("limit_count", "SELECT a FROM t ORDER BY a LIMIT TICK"),
    ("offset_count", "SELECT a FROM t ORDER BY a OFFSET TICK"),
    ("ties", "SELECT a FROM t ORDER BY a FETCH FIRST (TICK) ROWS WITH TIES"),
    ("cell", "SELECT a, v.n FROM t, (VALUES (TICK), (-1)) AS v (n)"),
    ("group_key", "SELECT a % (TICK + 2) AS k, count(*) AS n FROM t GROUP BY a % (TICK + 2)"),
    ("having", "SELECT a, sum(b) AS n FROM t GROUP BY a HAVING a < TICK"),
    ("filter", "SELECT count(*) FILTER (WHERE a < TICK) AS n FROM t"),
    ("subscript", "SELECT a, ('{0,1,2,3,4,5,6,7,8,9}'::integer[])[TICK % 10 + 1] AS n, TICK AS tick FROM t"),
    ("series", "SELECT g FROM generate_series(0, TICK) AS g"),
    ("series_beside", "SELECT a, g FROM t, generate_series(0, TICK) AS g WHERE a < 5"),
    ("series_of_rows", "SELECT a, generate_series(a, TICK) AS g FROM t"),
    ("fraction", "SELECT percentile_disc(TICK / 97.0::float8) WITHIN GROUP (ORDER BY a) AS n FROM t"),
    ("delimiter", "SELECT string_agg(a::text, TICK::text ORDER BY a) AS n FROM t"),
    ("lag", "SELECT a, lag(a, TICK) OVER (ORDER BY a) AS n, ntile(TICK + 1) OVER (ORDER BY a) AS m FROM t"),
    ("zone", "SELECT a, timestamptz '2026-01-01 12:00Z' AT TIME ZONE make_interval(mins => TICK) AS n FROM t"),
    ("plain", "SELECT n, count(*) AS m FROM ticking GROUP BY n"),
];
/// What reads the day, which no test can wait for.
const OF_TODAY: [(&str, &str); 3] = [
    ("age", "SELECT a, age(d::timestamp) AS n FROM t"),
    ("displacement", "SELECT a, timetz '12:00' AS n FROM t"),
    ("displacement_of_column", "SELECT a, (time '12:00' + a * interval '1 second')::timetz AS n FROM t"),
];

/// The rows that only the view or only its query has, at one moment.
async fn differing_rows(session: &Session, name: &str, query: &str) -> String {
    let query = query.replace("TICK", TICK);
    let rows = format!(
        "SELECT count(*) FROM ((SELECT * FROM {name} EXCEPT ALL ({query})) UNION ALL (({query}) EXCEPT ALL SELECT * FROM {name})) AS d"
    );
    session.value(&rows).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_reads_the_clock_when_it_is_read() {
    let fixture = Fixture::start();
    let session = fixture.session().await;
    let tables = [
        "CREATE TABLE t (a integer, b numeric(8,2), d date)",
        "INSERT INTO t SELECT g, g, date '2026-01-01' + g FROM generate_series(1, 100) g",
        &format!("CREATE VIEW ticking AS SELECT a, count(*) OVER (ORDER BY a ROWS {TICK} PRECEDING) AS n FROM t"),
    ];
    for statement in tables {
        session.run(statement).await.unwrap();
    }
    for (name, query) in TICKING.iter().chain(&OF_TODAY) {
        let query = query.replace("TICK", TICK);
        session.run(&format!("CREATE MATERIALIZED VIEW {name} AS {query}")).await.unwrap();
    }
    session.run("INSERT INTO t VALUES (50, 1, '2026-02-01')").await.unwrap();

    let classes = session.rows("SELECT name, class FROM meridian.views ORDER BY name").await.unwrap();
    assert_eq!(classes.len(), TICKING.len() + OF_TODAY.len());
    for class in classes {
        assert!(class[1].as_ref().unwrap().starts_with("recompute: "), "{class:?}");
    }
    let mut answers = vec![Vec::new(); TICKING.len()];
    for _ in 0..MOMENTS {
        for ((name, query), answers) in TICKING.iter().zip(&mut answers) {
            assert_eq!(differing_rows(&session, name, query).await, "0", "{name} is not its query");
            answers.push(session.rows(&format!("SELECT * FROM {name} ORDER BY 1")).await.unwrap());
        }
        for (name, query) in OF_TODAY {
            assert_eq!(differing_rows(&session, name, query).await, "0", "{name} is not its query");
        }
    }
    for ((name, _), answers) in TICKING.iter().zip(answers) {
        assert!(answers.windows(2).any(|pair| pair[0] != pair[1]), "{name} has not followed the clock");
    }
}
