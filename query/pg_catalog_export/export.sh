#!/usr/bin/env bash
# Exports the built-in rows of PostgreSQL 15's system catalog to query/src/pg_catalog/data/*.tsv.
#
# What PostgreSQL puts into its catalog at initdb is the same in every installation of a major version: types,
# functions, operators, casts, and the columns of the catalog itself. Clients know these OIDs by heart, so they are taken
# from a real server and not written by hand. Run this again only when the version that Meridian reports changes:
#
#     PG_BIN=/usr/lib/postgresql/15/bin query/pg_catalog_export/export.sh
#
# It needs Python 3, PostgreSQL 15's initdb, pg_ctl and psql, an ordinary user (initdb refuses root), and writes nothing outside of
# a temporary directory and the data directory. Each file is COPY's text format with a header line of column names;
# columns that are the same default in each row are left out, and the reader fills them in (NULL where the column
# allows it, else zero, false or the empty text).
#
#   columns.tsv     every column of every relation of pg_catalog and information_schema: what `exported.rs` builds
#                   schemas from, and the rows of pg_attribute for the catalog itself
#   pg_class.tsv    the catalog's own relations, without their indexes and toast tables
#   <relation>.tsv  the rows of that relation as initdb leaves them
set -euo pipefail

PG_BIN=${PG_BIN:-/usr/lib/postgresql/15/bin}
HERE=$(cd "$(dirname "$0")" && pwd)
DATA=${DATA:-$HERE/../src/pg_catalog/data}
WORK=$(mktemp -d)
trap '"$PG_BIN/pg_ctl" -D "$WORK/cluster" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$WORK"' EXIT

"$PG_BIN/initdb" -D "$WORK/cluster" -U meridian -E UTF8 --locale=C -A trust >"$WORK/initdb.log"
"$PG_BIN/pg_ctl" -D "$WORK/cluster" -l "$WORK/log" -w \
    -o "-c listen_addresses='' -c unix_socket_directories='$WORK' -c fsync=off" start >/dev/null
mkdir -p "$DATA"

query() {
    "$PG_BIN/psql" -h "$WORK" -U meridian -d postgres -X -q -v ON_ERROR_STOP=1 -c "COPY ($1) TO STDOUT WITH (HEADER)"
}

# save NAME QUERY: the rows, without the columns that hold one and the same default everywhere.
save() {
    query "$2" | python3 -c '
import sys
rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
header, body = rows[0], rows[1:]
plain = lambda value: value in ("\\N", "0", "f", "", "{}")
keep = [i for i in range(len(header))
        if not (len({row[i] for row in body}) <= 1 and all(plain(row[i]) for row in body))]
for row in rows:
    print("\t".join(row[i] for i in keep))
' >"$DATA/$1.tsv"
}

RELATIONS="SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'v')
    AND c.relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"

save columns "SELECT n.nspname, c.relname, a.attname, a.attnum, a.atttypid, format_type(a.atttypid, NULL) AS type,
        a.atttypmod, a.attlen, a.attnotnull, a.attbyval, a.attalign, a.attstorage, a.attndims, a.attcollation
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.oid IN ($RELATIONS) ORDER BY n.nspname, c.relname, a.attnum"
save pg_class "SELECT oid, relname, relnamespace, reltype, relowner, CASE relkind WHEN 'r' THEN 2 ELSE 0 END AS relam,
        -1 AS reltuples, relisshared, relpersistence, relkind, relnatts, relhasrules, relispopulated, relreplident
    FROM pg_class WHERE oid IN ($RELATIONS) ORDER BY oid"
save pg_type "SELECT oid, typname, typnamespace, typowner, typlen, typbyval, typtype, typcategory,
        typispreferred, typisdefined, typdelim, typrelid, typsubscript::oid AS typsubscript, typelem, typarray,
        typinput::oid AS typinput, typoutput::oid AS typoutput, typreceive::oid AS typreceive, typsend::oid AS typsend,
        typmodin::oid AS typmodin, typmodout::oid AS typmodout, typanalyze::oid AS typanalyze, typalign, typstorage,
        typnotnull, typbasetype, typtypmod, typndims, typcollation, typdefault
    FROM pg_type WHERE (typrelid = 0 OR typrelid IN ($RELATIONS)) AND typname <> ALL
        (SELECT '_' || relname FROM pg_class WHERE relkind NOT IN ('r', 'v')) ORDER BY oid"
save pg_namespace "SELECT oid, nspname, nspowner FROM pg_namespace
    WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY oid"
save pg_proc "SELECT oid, proname, pronamespace, proowner, prolang, procost, prorows, provariadic, prosupport::oid AS prosupport, prokind,
        prosecdef, proleakproof, proisstrict, proretset, provolatile, proparallel, pronargs, pronargdefaults, prorettype,
        proargtypes, proallargtypes, proargmodes, proargnames, prosrc
    FROM pg_proc WHERE proname NOT LIKE 'plpgsql%' ORDER BY oid"
save pg_operator "SELECT oid, oprname, oprnamespace, oprowner, oprkind, oprcanmerge, oprcanhash, oprleft, oprright,
        oprresult, oprcom, oprnegate, oprcode::oid AS oprcode, oprrest::oid AS oprrest, oprjoin::oid AS oprjoin
    FROM pg_operator ORDER BY oid"
save pg_collation "SELECT * FROM pg_collation WHERE collname IN ('default', 'C', 'POSIX', 'ucs_basic') ORDER BY oid"
for relation in pg_cast pg_am pg_opclass pg_opfamily pg_language pg_range pg_aggregate pg_description; do
    case $relation in
        pg_aggregate) columns="aggfnoid::oid AS aggfnoid, aggkind, aggnumdirectargs, aggsortop, aggtranstype" ;;
        pg_range) columns="rngtypid, rngsubtype, rngmultitypid, rngcollation, rngsubopc, rngcanonical::oid AS rngcanonical, rngsubdiff::oid AS rngsubdiff" ;;
        pg_am) columns="oid, amname, amhandler::oid AS amhandler, amtype" ;;
        *) columns="*" ;;
    esac
    where=true
    # The language that initdb installs as an extension, which Meridian has not.
    [ $relation != pg_language ] || where="lanname <> 'plpgsql'"
    # Descriptions of what is not exported would describe nothing.
    [ $relation != pg_description ] || where="classoid IN ('pg_type'::regclass, 'pg_proc'::regclass,
        'pg_operator'::regclass, 'pg_namespace'::regclass, 'pg_am'::regclass, 'pg_language'::regclass)"
    save $relation "SELECT $columns FROM $relation WHERE $where ORDER BY 1, 2"
done
save keywords "SELECT word, catcode, barelabel, catdesc, baredesc FROM pg_get_keywords() ORDER BY word"
save encodings "SELECT i AS code, pg_encoding_to_char(i) AS name FROM generate_series(0, 41) i ORDER BY 1"
