package query

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The parameters that search event_data.
const (
	detailKey   = "detail_key"
	detailValue = "detail_value"
)

// withDetail adds the condition of detail_key and detail_value to the others, and
// returns the JSON paths that it searches.
func (p Params) withDetail(others *conditions, bad *ParamError) (c *conditions, paths []string) {
	const mostKey, mostValue = 255, 1024
	switch {
	case p.DetailKey == nil && p.DetailValue == nil:
		return others, nil
	case p.DetailKey == nil:
		bad.refusef(detailKey, "is required with detail_value")
		return others, nil
	case p.DetailValue == nil:
		bad.refusef(detailValue, "is required with detail_key")
		return others, nil
	}
	checkText(bad, detailKey, *p.DetailKey, mostKey)
	checkText(bad, detailValue, *p.DetailValue, mostValue)
	paths, err := jsonPaths(*p.DetailKey)
	if err != nil {
		bad.refusef(detailKey, "%v", err)
		return others, nil
	}
	c = others.clone()
	c.addAny("EXISTS (SELECT 1 FROM jsonb_path_query(event_data, %s::text::jsonpath) AS v WHERE v #>> '{}' = %s)", paths, *p.DetailValue)
	return c, paths
}

// checkDetail refuses a search that found nothing because its key names objects
// or lists, which have no text to compare: an empty answer would say that there
// are no such events.
func (f *find) checkDetail(ctx context.Context, tx pgx.Tx) error {
	if len(f.detail) == 0 {
		return nil
	}
	c := f.others.clone()
	f.span.add(c)
	kinds := make([]string, len(f.detail))
	for i, path := range f.detail {
		c.args = append(c.args, path)
		kinds[i] = fmt.Sprintf("SELECT jsonb_typeof(v) AS kind FROM jsonb_path_query(event_data, $%d::text::jsonpath) AS v", len(c.args))
	}
	sql := "SELECT kind FROM audit_events, LATERAL (" + strings.Join(kinds, " UNION ALL ") + ") AS kinds" + c.where()
	if len(c.clauses) == 0 {
		sql += " WHERE true"
	}
	sql += " AND kind IN ('object', 'array') LIMIT 1"
	var kind string
	switch err := tx.QueryRow(ctx, sql, c.args...).Scan(&kind); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for what detail_key names: %w", err)
	}
	bad := &ParamError{}
	if kind == "array" {
		bad.refusef(detailKey, "names a list, which has no value to compare: name its elements, as in $.targets[*] or $.targets[0].name")
	} else {
		bad.refusef(detailKey, "names an object, which has no value to compare: name one of its fields, as in $.target.name")
	}
	return bad
}

// clone returns conditions that can be added to.
func (c *conditions) clone() *conditions {
	return &conditions{clauses: append([]string(nil), c.clauses...), args: append([]any(nil), c.args...)}
}

// addAny appends a clause that holds if it does for one of the paths.
func (c *conditions) addAny(clause string, paths []string, value string) {
	c.args = append(c.args, value)
	wanted := fmt.Sprintf("$%d", len(c.args))
	alternatives := make([]string, len(paths))
	for i, path := range paths {
		c.args = append(c.args, path)
		alternatives[i] = fmt.Sprintf(clause, fmt.Sprintf("$%d", len(c.args)), wanted)
	}
	c.clauses = append(c.clauses, "("+strings.Join(alternatives, " OR ")+")")
}
