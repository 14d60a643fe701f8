package database

import "fmt"

// Expressions over columns of rows that somebody else may have written, for instance an administrator. What they
// return can be read whatever the column has.

// BoundedObject is an expression over a column of JSON, as text. It is NULL if the column is not an object or is
// too large. How large the column is when it is packed is known without unpacking it.
func BoundedObject(expression, column string, most int) string {
	return fmt.Sprintf(`CASE WHEN pg_column_size(%[2]s) <= %[3]d AND jsonb_typeof(%[2]s) = 'object'
		THEN CASE WHEN octet_length((%[1]s)::text) <= %[3]d THEN (%[1]s)::text END END`, expression, column, most)
}

// PlainTime is an expression for a time that Go and JSON can have, and that is not Go's zero time.
func PlainTime(column string) string {
	return `greatest(least(` + column + `, '9999-01-01Z'), '0001-01-02Z')`
}
