//! Each file of `sql-tests/slt`, and of its folder `regressions`, against a server of its own.

use sql_tests::oracle::regressions_folder;
use sql_tests::package_folder;
use sql_tests::slt::run_on_meridian;

macro_rules! files {
    ($($test:ident: $file:literal,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                run_on_meridian(&package_folder().join("slt").join($file)).await.unwrap();
            }
        )*

        #[test]
        fn every_file_is_run() {
            let listed = [$($file),*];
            for entry in std::fs::read_dir(package_folder().join("slt")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(!name.ends_with(".slt") || listed.contains(&name.as_str()), "{name} is not in sql-tests/tests/slt.rs");
            }
        }
    };
}

files! {
    types_answer_as_postgres_does: "types.slt",
    expressions_answer_as_postgres_does: "expressions.slt",
    queries_answer_as_postgres_does: "queries.slt",
    dates_and_times_answer_as_postgres_does: "moments.slt",
    formatting_answers_as_postgres_does: "formatting.slt",
    functions_answer_as_postgres_does: "functions.slt",
    columns_have_types_that_postgres_has: "column_types.slt",
    sums_averages_and_powers_are_exact: "exact_numbers.slt",
    json_answers_as_postgres_does: "json.slt",
    parameters_get_the_types_that_postgres_gives: "parameters.slt",
    spellings_mean_what_they_mean_to_postgres: "spellings.slt",
    aliases_name_as_many_columns_as_they_have_names: "column_aliases.slt",
    rows_that_are_distinct_are_ordered_by_their_outputs: "distinct_orders.slt",
    names_that_columns_share_mean_none_of_them: "repeated_names.slt",
    comparisons_of_rows_have_no_names: "row_comparisons.slt",
    keys_of_orders_mean_what_they_mean_to_postgres: "order_names.slt",
    defaults_go_with_the_types_of_their_columns: "retyped_defaults.slt",
    texts_stand_behind_no_values: "bare_texts.slt",
    escapes_are_read_as_postgres_reads_them: "escaped_literals.slt",
    values_of_two_types_compare_as_in_postgres: "mixed_comparisons.slt",
    rows_and_sets_that_are_written_out_answer_as_postgres_does: "row_fields.slt",
    prepared_inserts_hold_their_columns_modifiers: "prepared_inserts.slt",
    prepared_statements_follow_their_types: "prepared_types.slt",
    names_of_from_mean_what_they_mean_to_postgres: "row_names.slt",
    names_of_groups_and_with_mean_what_they_mean_to_postgres: "group_names.slt",
    keys_that_planning_finds_to_be_null_group: "null_keys.slt",
    library_functions_answer_as_postgres_does: "function_library.slt",
    joins_merge_columns_as_postgres_does: "joins.slt",
    ordered_sets_and_frames_answer_as_postgres_does: "ordered_sets.slt",
    intervals_are_kept_as_postgres_keeps_them: "interval_columns.slt",
    domains_hold_their_values_to_their_rules: "domains.slt",
    times_with_a_zone_go_by_greenwich: "zoned_times.slt",
    records_of_json_have_the_columns_of_relations: "json_records.slt",
    enums_are_ordered_as_they_were_declared: "enums.slt",
    moments_have_the_digits_of_their_columns: "moment_digits.slt",
    subscripts_find_what_postgres_finds: "subscripts.slt",
    an_analysts_first_morning_goes_as_with_postgres: "first_morning.slt",
    aggregates_have_sorted_rows_in_their_order: "collected_order.slt",
    errors_point_to_where_they_arose: "error_places.slt",
    paths_into_json_find_what_postgres_finds: "json_paths.slt",
    parameters_are_documents_and_paths_where_those_are_taken: "json_parameters.slt",
    subqueries_answer_as_postgres_does: "subqueries.slt",
    the_optimiser_keeps_answers: "optimizer.slt",
    the_first_rows_of_partitions_are_those_of_all_rows: "leading_rows.slt",
    plain_views_are_their_queries: "plain_views.slt",
    values_have_the_types_that_postgres_gives_them: "values.slt",
    bits_become_numbers_as_in_postgres: "bit_numbers.slt",
    arrays_of_oids_show_the_names_that_postgres_shows: "registered_arrays.slt",
    views_read_the_system_as_in_postgres: "system_views.slt",
    reindex_finds_what_postgres_finds: "reindex.slt",
    what_the_differential_tester_found_stays_mended: "answers.slt",
    what_it_found_later_stays_mended: "differential_finds.slt",
    what_it_found_last_stays_mended: "differential_last.slt",
    regular_expressions_match_as_postgres_does: "regular_expressions.slt",
    operators_are_cut_and_bind_as_in_postgres: "operator_spellings.slt",
    vectors_of_the_catalog_are_no_arrays: "catalog_vectors.slt",
    arguments_of_execute_are_assigned: "execute_arguments.slt",
    vacuum_and_analyze_check_what_they_name: "maintenance.slt",
    transactions_have_settings_of_their_own: "transaction_settings.slt",
    settings_are_taken_and_shown_as_in_postgres: "settings.slt",
    operators_are_named_with_their_schema: "named_operators.slt",
    literals_are_of_the_kinds_that_are_written: "literal_kinds.slt",
    long_numbers_beside_doubles_are_doubles: "long_numbers.slt",
    texts_go_on_in_later_lines: "continued_literals.slt",
    grouped_queries_have_their_subqueries_and_aggregates: "grouped_subqueries.slt",
    groups_over_joined_groups_keep_their_keys: "grouped_joins.slt",
    windows_have_orders_without_distances: "window_orders.slt",
    sets_come_in_the_order_that_is_asked_for: "set_orders.slt",
    sets_of_groups_hold_what_postgres_lets_them_hold: "grouping.slt",
    items_of_documents_are_assigned: "assigned_items.slt",
    updates_leave_the_columns_that_they_do_not_name: "updated_columns.slt",
    literals_and_arrays_say_where_they_are_wrong: "literal_places.slt",
    computed_numerics_have_their_digits: "numeric_digits.slt",
    zeros_of_either_sign_are_equal: "float_zeros.slt",
    bounds_of_segments_hide_no_values: "segment_bounds.slt",
    rows_are_found_without_a_scan: "found_rows.slt",
    many_rows_of_one_statement_are_as_one_batch: "many_recent_rows.slt",
    texts_of_intervals_are_read_as_by_postgres: "interval_texts.slt",
    copy_reads_and_writes_what_postgres_does: "copy.slt",
    copy_has_every_option: "copy_options.slt",
    partitions_hold_what_they_are_named_for: "partitions.slt",
    no_row_goes_that_drop_partition_does_not_name: "dropped_partitions.slt",
    columns_change_as_in_postgres: "altered_columns.slt",
    types_of_arrays_are_spelt_as_the_standard_does: "array_types.slt",
    parameters_are_assigned_by_the_casts_of_postgres: "assigned_parameters.slt",
    parameters_are_cast_as_in_postgres_before_they_are_assigned: "cast_parameters.slt",
    drops_tell_what_they_take_along: "dropped_dependents.slt",
    dumps_are_told_what_is_not_kept: "dumps.slt",
    tables_change_and_their_views_follow: "altered_tables.slt",
    tables_are_made_from_queries_and_tables: "derived_tables.slt",
    keys_hold_in_tables_that_change: "altered_keys.slt",
    constraints_come_to_tables_with_rows: "altered_constraints.slt",
    explain_says_what_was_pruned: "explain.slt",
    explain_says_what_statements_would_change: "explain_changes.slt",
    views_equal_their_queries: "views.slt",
    views_over_several_tables_equal_their_queries: "view_joins.slt",
    views_over_outer_joins_count_partners: "view_partners.slt",
    views_count_different_values: "view_different_values.slt",
    views_follow_definitions_below_them: "view_definitions.slt",
    views_are_kept_or_recomputed_and_say_so: "view_classes.slt",
    definitions_of_each_kind_are_kept_as_told: "view_kinds.slt",
    a_dba_sees_what_views_do: "view_surface.slt",
    states_in_memory_are_those_of_the_snapshot: "view_kept_states.slt",
    few_groups_of_views_are_those_of_all: "view_few_groups.slt",
    asked_groups_follow_the_changes_that_have_a_part_in_them: "view_asked_groups.slt",
    errors_say_what_postgres_says: "errors.slt",
    transactions_are_all_or_nothing: "transactions.slt",
    sessions_know_what_they_were_told: "session_words.slt",
    serializable_transactions_are: "serializable.slt",
    unlogged_tables_are_logged: "unlogged.slt",
    writers_do_what_postgres_does: "writers.slt",
    rows_that_wait_are_seen_by_whoever_looks: "row_inserts.slt",
    inserted_values_mean_what_they_do_in_postgres: "inserted_values.slt",
    what_a_transaction_may_name_stays_where_it_is: "write_holds.slt",
    rows_are_numbered_and_returned: "row_numbers.slt",
    rows_keep_the_rules_of_their_table: "constraints.slt",
    what_with_names_is_computed_once: "shared_queries.slt",
    recursive_queries_are_those_of_postgres: "recursive_queries.slt",
    views_may_have_rows_of_their_own: "view_own_rows.slt",
    columns_turned_into_rows_have_a_common_type: "turned_columns.slt",
    a_star_is_the_row_whatever_columns_are_called: "rows_by_star.slt",
    outputs_beside_sets_may_be_called_as_columns: "set_names.slt",
    zones_in_posix_notation_are_read_in_times: "posix_zones.slt",
    positions_may_stand_in_parentheses: "positions.slt",
    groups_may_be_by_operands: "grouped_operands.slt",
    expressions_of_subqueries_mean_columns: "ordered_subqueries.slt",
    columns_of_outer_queries_keep_their_names: "outer_columns.slt",
    items_of_sets_keep_their_order: "set_pages.slt",
    positions_count_in_the_sides_of_unions: "united_positions.slt",
    columns_that_are_called_alike_are_ambiguous: "repeated_columns.slt",
    wide_queries_are_planned_soon: "wide_queries.slt",
    outputs_beside_sets_have_names_of_their_own: "set_outputs.slt",
    what_is_volatile_is_computed_once: "computed_once.slt",
    defaults_are_cast_as_they_say: "cast_defaults.slt",
    values_are_assigned_as_postgres_does: "assigned_values.slt",
    notifications_take_null_for_an_empty_text: "notifications.slt",
    prefix_operators_keep_apart: "prefix_operators.slt",
    numerics_without_a_modifier_keep_their_digits: "undeclared_digits.slt",
    sequences_give_what_postgres_gives: "sequences.slt",
    cursors_walk_through_a_snapshot: "cursors.slt",
    catalogue_relations_answer_psql: "catalogue.slt",
    restarts_lose_nothing: "restart.slt",
    tables_are_read_as_they_were: "time_travel.slt",
    temporary_relations_are_one_sessions: "temporary.slt",
    loads_meet_the_keys_that_are_there: "copy_conflicts.slt",
    columns_keep_their_numbers: "column_numbers.slt",
    indexes_keep_their_names: "index_names.slt",
    indexes_for_speed_come_to_nothing: "plain_indexes.slt",
    old_partitions_go_by_themselves: "retention.slt",
    keys_hold: "keys.slt",
    upserts_do_what_postgres_does: "upsert.slt",
    merges_do_what_postgres_does: "merge.slt",
    words_of_set_name_what_they_name_to_postgres: "named_schemas.slt",
    words_are_names_where_postgres_takes_them_for_such: "words_as_names.slt",
    names_of_with_are_known_to_all_of_a_writer: "writer_names.slt",
    rows_types_and_defaults_are_shown_as_the_session_sees_them: "shown_rows.slt",
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_oracle_once_found_stays_mended() {
    for entry in std::fs::read_dir(regressions_folder()).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "slt") {
            run_on_meridian(&file).await.unwrap();
        }
    }
}
