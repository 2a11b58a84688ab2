// Rows of a csv file without quotes into `sales` by JDBC batches, in one transaction; prints the seconds to its durable end.
//
// Arguments: JDBC URL, csv file, rows of a batch. Values are sent in the types of their columns.

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Types;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.Arrays;
import java.util.Collections;

class JdbcBatch {
    public static void main(String[] arguments) throws Exception {
        var rows = Files.readAllLines(Path.of(arguments[1])).stream().map(line -> line.split(",", -1)).toList();
        int batchRows = Integer.parseInt(arguments[2]);
        try (var connection = DriverManager.getConnection(arguments[0])) {
            connection.setAutoCommit(false);
            var marks = String.join(", ", Collections.nCopies(rows.get(0).length, "?"));
            try (var insert = connection.prepareStatement("INSERT INTO sales VALUES (" + marks + ")")) {
                var parameters = insert.getParameterMetaData();
                int[] types = new int[parameters.getParameterCount()];
                Arrays.setAll(types, index -> typeOf(parameters, index + 1));
                long started = System.nanoTime();
                int waiting = 0;
                for (var row : rows) {
                    for (int index = 0; index < types.length; index++) {
                        insert.setObject(index + 1, read(row[index], types[index]), types[index]);
                    }
                    insert.addBatch();
                    if (++waiting == batchRows) {
                        insert.executeBatch();
                        waiting = 0;
                    }
                }
                if (waiting > 0) {
                    insert.executeBatch();
                }
                connection.commit();
                System.out.println((System.nanoTime() - started) / 1e9);
            }
        }
    }

    private static int typeOf(java.sql.ParameterMetaData parameters, int index) {
        try {
            return parameters.getParameterType(index);
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
    }

    private static Object read(String text, int type) {
        if (text.isEmpty()) {
            return null;
        }
        return switch (type) {
            case Types.DATE -> LocalDate.parse(text);
            case Types.TIMESTAMP -> LocalDateTime.parse(text.replace(' ', 'T'));
            default -> text;
        };
    }
}
