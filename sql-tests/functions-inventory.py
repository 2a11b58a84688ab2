#!/usr/bin/env python3
"""Which of PostgreSQL's functions does Meridian have, and which of them answer alike?

    sql-tests/with-postgres.sh bash -c 'sql-tests/functions-inventory.py PORT "$MERIDIAN_POSTGRES"'

PORT is that of a Meridian on this machine; the other argument is a connection string of a PostgreSQL 15. Every
signature that `pg_proc` has of the functions in TOPICS is called on both, with NULLs and with values of the types of its
arguments, and the answers and their types are compared. Each signature is `right`, `digits` (numbers that are the same to
twelve digits, double precision in place of numeric included), `differs` or `missing` (SQLSTATE 42883 or 0A000, where PostgreSQL
has an answer). The shares stand at the end. With --differences the calls that differ are shown. Needs psql.
"""

import argparse
import re
import subprocess
import sys
from collections import Counter

TOPICS = {
    "mathematics": """abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh bit_count cbrt ceil ceiling cos
        cosd cosh cot cotd degrees div exp factorial floor gcd lcm ln log log10 min_scale mod pi pow power radians random
        round scale setseed sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket""",
    "text": """ascii bit_length btrim char_length character_length chr concat concat_ws format initcap is_normalized left
        length lower lpad ltrim md5 normalize octet_length overlay parse_ident position quote_ident quote_literal
        quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
        regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim split_part
        starts_with string_to_array string_to_table strpos substr substring to_hex translate unistr upper""",
    "bytes": "convert convert_from convert_to decode encode get_bit get_byte set_bit set_byte sha224 sha256 sha384 sha512",
    "dates": """age clock_timestamp date_bin date_part date_trunc isfinite justify_days justify_hours
        justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps pg_sleep
        pg_sleep_for pg_sleep_until statement_timestamp timeofday timezone to_timestamp transaction_timestamp""",
    "formatting": "to_char to_date to_number to_timestamp",
    "arrays": """array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
        array_positions array_prepend array_remove array_replace array_to_string array_upper cardinality trim_array""",
    "sets": "generate_series generate_subscripts unnest",
    "values": "gen_random_uuid num_nonnulls num_nulls pg_column_size pg_size_bytes pg_size_pretty pg_typeof",
    "session": """current_database current_query current_schema current_schemas current_setting inet_client_port
        inet_server_port pg_backend_pid pg_blocking_pids pg_cancel_backend pg_client_encoding pg_conf_load_time
        pg_is_in_recovery pg_my_temp_schema pg_postmaster_start_time pg_terminate_backend pg_trigger_depth
        row_security_active set_config txid_current txid_current_if_assigned version col_description format_type
        obj_description pg_collation_for pg_table_is_visible pg_type_is_visible""",
    "aggregates": """array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every max min
        mode percentile_cont percentile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
        regr_sxy regr_syy stddev stddev_pop stddev_samp string_agg sum var_pop var_samp variance cume_dist dense_rank
        percent_rank rank""",
    "windows": """cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number""",
}

# What of pg_proc is not meant to be here: functions that serve operators, casts, types, indexes, aggregates and statistics, as
# their descriptions say; functions of types that Meridian does not have (geometry, networks, text search, ranges, bit strings, money,
# xml, transaction ids, cursors, and what is internal); and those that look after a server: statistics, replication, backups,
# large objects, privileges, sequences, advisory locks.
NOT_MEANT = {
    "descriptions": r"^(implementation of|I/O|aggregate|join selectivity|restriction selectivity|less-equal|hash|sort support"
                    r"|equal image|planner support|GIN|GiST|SP-GiST|BRIN|btree|transform|convert|statistics:|deprecated|larger of"
                    r"|smaller of|index|internal conversion)|.*aggregate (transition|final) function|\(internal\)|adjust .* precision|convert .* to |window RANGE",
    "types": r"\y(point|box|lseg|path|polygon|circle|line|inet|cidr|macaddr8?|tsvector|tsquery|regconfig|regdictionary|"
             r"\w*range|bit|bit varying|money|xml|pg_lsn|xid8?|\w*snapshot|refcursor|internal|cstring|trigger|"
             r"\w*handler|\w*vector|pg_\w+|jsonpath|aclitem|tid|cid|event_trigger)\y",
    "names": r"^(pg_.*|lo_.*|loread|lowrite|has_.*|txid_.*|binary_upgrade.*|brin.*|gin.*|inet_.*|row_security.*|ts_.*|currval|nextval"
             r"|setval|lastval|to_reg.*|_.*|amvalidate|dexp|dlog1|dlog10|dround|dtrunc|int[248](inc|dec).*|nameconcatoid|notlike|like"
             r"|numeric_.*|plpgsql.*|textlen|to_ascii|getdatabaseencoding|xml_.*|in_range|bpchar|varchar|numeric|text|time"
             r"|timestamp|timestamptz|timetz|interval|.*_subdiff|enum_.*)$",
}

MEANT = """
WITH f AS (
  SELECT p.proname,
         bool_and(coalesce(obj_description(p.oid, 'pg_proc'), '') ~ '{descriptions}') AS serves,
         bool_and((SELECT string_agg(format_type(t, NULL), ' ')
                   FROM unnest(p.proargtypes::oid[] || p.prorettype) AS t) ~ '{types}') AS foreign_types
  FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace GROUP BY 1)
SELECT proname FROM f WHERE NOT serves AND NOT coalesce(foreign_types, false) AND proname !~ '{names}' ORDER BY 1
"""

# Typed values by the name of the type, as pg_proc's arguments have them. Anything else is none of Meridian's types.
VALUES = {
    "boolean": ["true", "false"],
    "smallint": ["3::smallint", "(-7)::smallint", "2::smallint"],
    "integer": ["2", "5", "1"],
    "bigint": ["12::bigint", "(-5)::bigint", "4000000000"],
    "real": ["0.5::real", "(-0.25)::real", "1::real"],
    "double precision": ["0.5::float8", "1::float8", "(-0.75)::float8"],
    "numeric": ["1.50::numeric(10,2)", "(-2.75)::numeric(10,2)", "4::numeric(10,2)"],
    "text": ["'abc def'", "'b'", "'Grüße, Öl'"],
    "character varying": ["'abc'::varchar", "'b'::varchar"],
    "name": ["'abc'::name", "'b'::name"],
    "bytea": [r"'\x616200ff'::bytea", r"'\x62'::bytea"],
    "date": ["date '2024-02-29'", "date '2023-11-05'"],
    "time without time zone": ["time '12:34:56.789'", "time '00:00:01'"],
    "timestamp without time zone": ["timestamp '2024-02-29 12:34:56.789'", "timestamp '2023-11-05 01:00:00'"],
    "timestamp with time zone": ["timestamptz '2024-02-29 12:34:56.789+00'", "timestamptz '2023-11-05 01:00:00+02'"],
    "interval": ["interval '1 mon 35 days 26:03:04.5'", "interval '-3 days 02:00'", "interval '1 day'"],
    "json": ["""'{"a": [1, null], "b": {"c": "x"}}'::json""", "'[1, \"b\"]'::json"],
    "jsonb": ["""'{"a": [1, null], "b": {"c": "x"}}'::jsonb""", "'[1, \"b\"]'::jsonb"],
    "uuid": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid"],
    "oid": ["25::oid", "23::oid"],
    "text[]": ["array['a', NULL, 'c']", "array['b']"],
    "integer[]": ["array[1, 2, 3]", "array[3]"],
    "double precision[]": ["array[0.25, 0.5]::float8[]", "array[1, 0]::float8[]"],
    "anyarray": ["array[1, 2, NULL, 2]", "array[7, 3]", "array[5]"],
    "anyelement": ["2", "7", "5"],
    "anynonarray": ["2", "7", "5"],
    "anycompatiblearray": ["array[1, 2, NULL, 2]", "array[5]", "array[5]"],
    "anycompatible": ["2", "7", "5"],
    '"any"': ["1", "'b'::text", "NULL::date"],
    "VARIADIC \"any\"": ["1, 'b'::text, NULL::date", "'x'::text, 2.5"],
    "VARIADIC text[]": ["'a', 'b'", "'b'"],
}
# A type that a polymorphic argument may have, for the call with NULLs.
NULLS = {
    "numeric": "NULL::numeric(10,2)",
    "anyarray": "NULL::int[]",
    "anyelement": "NULL::int",
    "anynonarray": "NULL::int",
    "anycompatiblearray": "NULL::int[]",
    "anycompatible": "NULL::int",
    '"any"': "NULL::int",
    "VARIADIC \"any\"": "NULL::int",
    "VARIADIC text[]": "NULL",
}

# Arguments for functions that values of the right type alone do not suit: by name, for as many arguments as they are.
ARGUMENTS = {
    "array_fill": ["7, array[2, 3]", "7, array[2], array[4]"],
    "array_agg": [],
    "chr": ["65", "8364"],
    "col_description": ["0::oid, 1"],
    "convert": [r"'\x6162'::bytea, 'UTF8', 'LATIN1'"],
    "convert_from": [r"'\xc3bc'::bytea, 'UTF8'", r"'\xfc'::bytea, 'LATIN1'"],
    "convert_to": ["'ü', 'UTF8'", "'ü', 'LATIN1'"],
    "current_setting": ["'TimeZone'", "'TimeZone', true"],
    "date_bin": [
        "interval '15 min', timestamp '2024-01-01 12:37:00', timestamp '2024-01-01 00:05:00'",
        "interval '2 days', timestamptz '2024-01-04 12:37:00+00', timestamptz '2024-01-01 00:00:00+00'",
    ],
    "decode": ["'YWJj', 'base64'", "'00ff', 'hex'", r"'a\\000b', 'escape'"],
    "encode": [r"'\x00ff61'::bytea, 'base64'", r"'\x00ff61'::bytea, 'hex'", r"'\x00ff61'::bytea, 'escape'"],
    "factorial": ["5::bigint", "20::bigint"],
    "format": ["'%s-%I-%L', 'a', 'B c', NULL", "'%5s|%-5s|', 1, 2", "'plain'"],
    "format_type": ["23::oid, NULL", "1700::oid, 655366"],
    "is_normalized": ["'a'", "'a', 'NFC'"],
    "make_date": ["2024, 2, 29"],
    "make_interval": ["1, 2, 3, 4, 5, 6, 7.5"],
    "make_time": ["12, 34, 56.5"],
    "make_timestamp": ["2024, 2, 29, 12, 34, 56.5"],
    "make_timestamptz": ["2024, 2, 29, 12, 34, 56.5", "2024, 7, 1, 12, 34, 56.5, 'Europe/Paris'"],
    "normalize": ["'a'", "U&'\\0061\\0308', 'NFC'", "'ä', 'NFKD'"],
    "obj_description": ["0::oid", "0::oid, 'pg_class'"],
    "parse_ident": ["'a.\"B c\"'", "'a.b()', false"],
    "pg_column_size": ["1", "'abc'::text", "1.5::float8", "now()"],
    "pg_sleep": ["0"],
    "pg_sleep_for": ["interval '0'"],
    "pg_sleep_until": ["now()"],
    "pg_cancel_backend": ["0"],
    "pg_terminate_backend": ["0", "0, 0"],
    "pg_size_bytes": ["'10 kB'", "'1.5 GB'"],
    "pg_table_is_visible": ["1259::oid"],
    "regexp_count": ["'abcabc', 'b'", "'abcabc', 'B', 2", "'abcabc', 'B', 2, 'i'"],
    "regexp_instr": ["'abcabc', 'c'", "'abcabc', 'c', 4", "'abcabc', 'c', 1, 2", "'abcabc', 'c', 1, 2, 1",
                     "'abcabc', 'C', 1, 2, 1, 'i'", "'abcabc', '(b)(c)', 1, 2, 0, 'i', 2"],
    "regexp_like": ["'abc', 'b'", "'abc', 'B', 'i'"],
    "regexp_match": ["'abcabc', '(b)(c)'", "'abcabc', 'B', 'i'"],
    "regexp_matches": ["'abcabc', '(b)(c)'", "'abcabc', 'B', 'gi'"],
    "regexp_replace": ["'abcabc', 'b', 'X'", "'abcabc', 'B', 'X', 'gi'", "'abcabc', 'b', 'X', 3",
                       "'abcabc', 'b', 'X', 1, 2", "'abcabc', 'B', 'X', 1, 2, 'i'"],
    "regexp_split_to_array": ["'a1b2c', '[0-9]'", "'aXbxc', 'x', 'i'"],
    "regexp_split_to_table": ["'a1b2c', '[0-9]'", "'aXbxc', 'x', 'i'"],
    "regexp_substr": ["'abcabc', 'b.'", "'abcabc', 'b.', 3", "'abcabc', 'b.', 1, 2", "'abcabc', 'B.', 1, 2, 'i'",
                      "'abcabc', '(b)(c)', 1, 2, 'i', 2"],
    "set_bit": [r"'\x00ff'::bytea, 3::bigint, 1"],
    "set_byte": [r"'\x00ff'::bytea, 1, 7"],
    "get_bit": [r"'\x00ff'::bytea, 9::bigint"],
    "get_byte": [r"'\x00ff'::bytea, 1"],
    "set_config": ["'application_name', 'x', true"],
    "string_to_array": ["'a,b,,c', ','", "'a,b,,c', ',', ''", "'abc', NULL"],
    "string_to_table": ["'a,b,,c', ','", "'a,b,,c', ',', ''", "'abc', NULL"],
    "to_date": ["'29.02.2024', 'DD.MM.YYYY'"],
    "to_number": ["'1,234.5-', '9G999D9S'"],
    "unistr": [r"'\0061\+000062\u0063\U00000064\\'"],
    "width_bucket": ["5.35::float8, 0.024::float8, 10.06::float8, 5", "5.35, 0.024, 10.06, 5",
                     "15, array[1, 3, 4, 10, 20]", "'m'::text, array['a', 'k', 'z']"],
}
# By name and first argument.
FIRST = {
    ("date_part", "text"): "'hour'",
    ("date_trunc", "text"): "'day'",
    ("timezone", "text"): "'Europe/Paris'",
    ("timezone", "interval"): "interval '02:00'",
    ("ntile", "integer"): "2",
    ("nth_value", "anyelement"): "2",
}
TEMPLATES = {
    "to_char": {"date": "'YYYY-MM-DD Day'", "timestamp": "'YYYY-MM-DD HH24:MI:SS.MS'", "interval": "'DD HH24:MI'"},
    "to_timestamp": {"text": "'YYYY'"},
}
FRACTIONS = {"double precision": "0.5", "double precision[]": "array[0.25, 0.5, 1]"}
# Answers that are never twice the same: only their types are compared.
CHANGING = """random clock_timestamp gen_random_uuid now statement_timestamp transaction_timestamp timeofday
    pg_backend_pid pg_conf_load_time pg_postmaster_start_time txid_current version inet_client_port
    inet_server_port current_query""".split()

STATES = ["right", "digits", "differs", "missing"]

SIGNATURES = """
SELECT p.proname, p.prokind::text || CASE WHEN a.aggkind <> 'n' THEN 'o' ELSE '' END
       || CASE WHEN p.proretset THEN 's' ELSE '' END,
       coalesce(a.aggnumdirectargs, 0), p.pronargs - p.pronargdefaults,
       coalesce((SELECT string_agg(CASE WHEN i = p.pronargs AND p.provariadic <> 0 THEN 'VARIADIC ' ELSE '' END
                                   || format_type(t, NULL), ';' ORDER BY i)
                 FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u(t, i)), '')
FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY ('{%s}') ORDER BY 1, 5
"""


def psql(connection, script):
    command = ["psql", connection, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=0"]
    # PostgreSQL cuts characters in the messages of some errors.
    done = subprocess.run(command, input=script, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 2:
        sys.exit(f"psql cannot connect: {done.stderr.strip()}")
    return done.stdout


def answers(connection, statements):
    """For each statement its SQLSTATE, its rows and the types of its columns."""
    script = ["\\pset null NULL\nSET timezone = 'Europe/Paris';"]
    for number, statement in enumerate(statements):
        script.append(f"{statement};\n\\echo @@{number} :SQLSTATE :LAST_ERROR_MESSAGE\n{statement} \\gdesc\n\\echo @@")
    parts = re.split(r"^@@(\d+) (\S+)(.*)$", psql(connection, "\n".join(script)), flags=re.MULTILINE)
    found = []
    before = parts[0]
    for at in range(1, len(parts), 4):
        _, state, message, rest = parts[at:at + 4]
        types, _, following = rest.partition("\n@@\n")
        types = re.findall(r"\|([^|\n]+)$", types, flags=re.MULTILINE)
        found.append((state, before.strip("\n"), types, message.strip() if state != "00000" else ""))
        before = following
    return found


def argument_lists(name, kinds, required):
    """Lists of arguments to call a signature with: NULLs first, then values."""
    count = len(kinds)
    nulls = ", ".join(NULLS.get(kind, f"NULL::{kind}") for kind in kinds)
    lists = [nulls] if count else [""]
    fitting = [given for given in ARGUMENTS.get(name, []) if matches(given, kinds, required)]
    if name in ARGUMENTS:
        return lists + fitting
    if not count:
        return lists
    for turn in range(3):
        values = []
        for position, kind in enumerate(kinds):
            choices = VALUES[kind]
            values.append(choices[(turn + position) % len(choices)])
        if (name, kinds[0]) in FIRST:
            values[0 if kinds[0] in ("text", "interval", "integer") else 1] = FIRST[name, kinds[0]]
        for prefix, template in TEMPLATES.get(name, {}).items():
            if kinds[0].startswith(prefix):
                values[1] = template
        if name == "to_char" and not values[1].startswith("'YYYY") and kinds[0] != "interval":
            values[1] = "'FM9990.00S'"
        if name == "to_timestamp" and kinds[0] == "text":
            values[0] = "'2024'"
        lists.append(", ".join(values))
    return lists


def matches(given, kinds, required):
    """Whether a list of arguments has the number of arguments of a signature."""
    depth, quoted, commas = 0, False, 0
    for character in given:
        if character == "'":
            quoted = not quoted
        elif not quoted:
            depth += character in "[(" and 1 or character in "])" and -1 or 0
            commas += character == "," and depth == 0
    variadic = bool(kinds) and kinds[-1].startswith("VARIADIC")
    return commas + 1 == len(kinds) or (variadic and commas + 1 >= len(kinds)) or required <= commas + 1 < len(kinds)


def rows_of(kinds):
    rows = []
    for turn in range(4):
        values = [VALUES[kind][(turn + 2 * at) % len(VALUES[kind])] for at, kind in enumerate(kinds)]
        rows.append(f"({', '.join([str(turn), *values])})")
    rows.append(f"({', '.join(['4', *[NULLS.get(kind, f'NULL::{kind}') for kind in kinds]])})")
    names = ", ".join(["n", *[f"x{at}" for at in range(len(kinds))]])
    return f"(VALUES {', '.join(rows)}) AS v({names})"


def calls(name, kind, direct, required, kinds):
    """The statements that try a signature."""
    columns = ", ".join(f"x{at}" for at in range(len(kinds)))
    if kind.startswith("ao"):
        ordered = [kind for kind in kinds[direct:] if not kind.startswith("VARIADIC")] or ["integer"]
        given = ", ".join(FRACTIONS.get(kind, "2") for kind in kinds[:direct])
        order = ", ".join(f"x{at}" for at in range(len(ordered)))
        return [f"SELECT {name}({given}) WITHIN GROUP (ORDER BY {order}) FROM {rows_of(ordered)}"]
    if kind.startswith("a"):
        if kind == "a" and not kinds:
            return [f"SELECT {name}(*) FROM {rows_of([])}"]
        order = "" if name in ("count",) else " ORDER BY n"
        source = rows_of(kinds)
        return [
            f"SELECT {name}({columns}{order}) FROM {source}",
            f"SELECT {name}({columns}) FROM {source} WHERE n > 5",
            f"SELECT n, {name}({columns}) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM {source} ORDER BY n",
        ]
    if kind.startswith("w"):
        given = [f"x{at}" for at in range(len(kinds))]
        for at, argument in enumerate(kinds):
            if argument == "integer":
                given[at] = "2" if at else "3"
        return [f"SELECT n, {name}({', '.join(given)}) OVER (ORDER BY n) FROM {rows_of(kinds)} ORDER BY n"]
    lists = argument_lists(name, kinds, required)
    if "s" in kind[1:]:
        if name == "generate_series":
            lists = [lists[0], *series(kinds)]
        return [f"SELECT * FROM {name}({given})" for given in lists] + [f"SELECT {name}({given})" for given in lists]
    return [f"SELECT {name}({given})" for given in lists]


def series(kinds):
    bounds = {
        "timestamp without": ("timestamp '2024-03-30'", "timestamp '2024-04-02'", "interval '1 day'"),
        "timestamp with ": ("timestamptz '2024-03-30 00:00+01'", "timestamptz '2024-04-02'", "interval '1 day'"),
        "integer": ("1", "9", "3"),
        "bigint": ("9::bigint", "1::bigint", "(-3)::bigint"),
        "numeric": ("1.0", "2.05", "0.35"),
    }
    fitting = [given for prefix, given in bounds.items() if kinds[0].startswith(prefix)]
    given = fitting[-1][:len(kinds)]
    return [", ".join(given)]


def verdict(name, results):
    """Of pairs of answers, PostgreSQL's first."""
    states = []
    for theirs, ours in results:
        if theirs[0] == "00000" and ours[0] in ("42883", "0A000"):
            states.append("missing")
        elif theirs[0] != "00000" or ours[0] != "00000":
            states.append("right" if theirs[0] == ours[0] else "differs")
        elif theirs[2] == ours[2] and (theirs[1] == ours[1] or name in CHANGING):
            states.append("right")
        else:
            states.append("digits" if nearly(theirs, ours) else "differs")
    if "missing" in states and "right" not in states:
        return "missing", states
    worst = max(states, key=STATES.index)
    return ("differs" if worst == "missing" else worst), states


def nearly(theirs, ours):
    """Whether two answers show the same numbers in other digits."""
    def types(answer):
        return [kind.replace("numeric", "double precision") for kind in answer[2]]

    def numbers(answer):
        shown = re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", lambda found: f"{float(found[0]):.11e}", answer[1])
        return shown.replace("-0.00000000000e+00", "0.00000000000e+00")

    numeric = any(kind.startswith(("numeric", "double", "real")) for kind in theirs[2])
    return numeric and types(theirs) == types(ours) and numbers(theirs) == numbers(ours)


def print_share(meant, by_name):
    """By names; those whose signatures take types that no values are listed for are told apart."""
    states = {name: max(found, key=STATES.index) for name, found in by_name.items()}
    states = {name: "differs" if state == "missing" and set(by_name[name]) != {"missing"} else state
              for name, state in states.items()}
    for state in STATES[1:]:
        print(f"{state}: {' '.join(sorted(name for name, found in states.items() if found == state))}")
    print(f"not called: {' '.join(name for name in meant if name not in states)}")
    right = sum(state in ("right", "digits") for state in states.values())
    print(f"names: {right} of {len(states)} right ({100 * right / len(states):.1f} %)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", help="the port of a Meridian on 127.0.0.1")
    parser.add_argument("postgres", help="the connection string of a PostgreSQL 15")
    parser.add_argument("--differences", action="store_true", help="show the calls that differ")
    parser.add_argument("--share", action="store_true", help="the share of all names that are meant to be here")
    parser.add_argument("--only", help="a regular expression for names")
    options = parser.parse_args()
    meridian = f"host=127.0.0.1 port={options.port} user=meridian dbname=meridian"
    topics = {name: topic for topic, names in TOPICS.items() for name in names.split()}
    meant = psql(options.postgres, MEANT.format(**NOT_MEANT)).split() if options.share else []
    topics = {**{name: "others" for name in meant}, **topics}
    listed = psql(options.postgres, SIGNATURES % ",".join(topics))
    signatures, statements = [], []
    for line in listed.splitlines():
        name, kind, direct, required, arguments = line.split("|")
        kinds = [argument for argument in arguments.split(";") if argument]
        if any(known not in VALUES for known in kinds) or (options.only and not re.fullmatch(options.only, name)):
            continue
        tried = calls(name, kind, int(direct), int(required), kinds)
        signatures.append((name, kind, kinds, range(len(statements), len(statements) + len(tried))))
        statements.extend(tried)
    theirs, ours = answers(options.postgres, statements), answers(meridian, statements)
    if not len(theirs) == len(ours) == len(statements):
        sys.exit(f"{len(statements)} statements, but {len(theirs)} and {len(ours)} answers")
    counts = Counter()
    by_topic = {topic: Counter() for topic in [*TOPICS, "others"]}
    by_name = {}
    for name, kind, kinds, places in signatures:
        # What PostgreSQL's grammar has a syntax of its own for says nothing when it is called.
        places = [at for at in places if theirs[at][0] != "42601"]
        if not places:
            continue
        state, each = verdict(name, [(theirs[at], ours[at]) for at in places])
        counts[state] += 1
        by_topic[topics[name]][state] += 1
        by_name.setdefault(name, []).append(state)
        print(f"{state:8} {name}({', '.join(kinds)})")
        for at, one in zip(places, each):
            if options.differences and one != "right":
                print(f"         {statements[at]}")
                for who, answer in (("PostgreSQL", theirs[at]), ("Meridian", ours[at])):
                    shown = answer[3] if answer[0] != "00000" else answer[1].replace("\n", " ⏎ ")
                    print(f"           {who:10} {answer[0]} {', '.join(answer[2])}: {shown}")
    total = sum(counts.values())
    print()
    for topic, found in by_topic.items():
        print(f"{topic:12} " + ", ".join(f"{found[state]:3} {state}" for state in STATES))
    if options.share:
        print_share(meant, by_name)
    print(f"{'all':12} " + ", ".join(f"{counts[state]} {state} ({100 * counts[state] / total:.1f} %)" for state in STATES))


if __name__ == "__main__":
    main()
