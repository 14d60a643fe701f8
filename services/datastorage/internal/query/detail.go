package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

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
	equal, exact := equals(*p.DetailValue)
	c.addAny(paths, *p.DetailValue, equal)
	c.served = c.served || exact
	return c, paths
}

// checkDetail refuses a search that found nothing because its key names objects
// or lists, which have no text to compare: an empty answer would say that there
// are no such events. It looks for them as long as there is time.
func (f *find) checkDetail(ctx context.Context, tx pgx.Tx, limit time.Duration) error {
	if len(f.detail) == 0 {
		return nil
	}
	c := f.indexed(f.others.args)
	c.args = append(c.args, max(limit, least), f.detail)
	over := fmt.Sprintf(late, len(c.args)-1)
	kinds := fmt.Sprintf("SELECT jsonb_typeof(v) AS kind FROM unnest($%d::text[]) AS path, jsonb_path_query(event_data, path::jsonpath) AS v", len(c.args))
	kinds = "SELECT kind FROM (" + kinds + ") AS k WHERE kind IN ('object', 'array')"
	sql := fmt.Sprintf("SELECT coalesce((%s LIMIT 1), '') FROM %s WHERE (%s AND EXISTS (%s)) OR %s LIMIT 1",
		kinds, f.inOrder(c), f.others.all(), kinds, over)
	var kind string
	switch err := tx.QueryRow(ctx, sql, c.args...).Scan(&kind); {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for what detail_key names: %w", err)
	}
	bad := &ParamError{}
	switch kind {
	case "":
		return nil
	case "array":
		bad.refusef(detailKey, "names a list, which has no value to compare: name its elements, as in $.targets[*] or $.targets[0].name")
	default:
		bad.refusef(detailKey, "names an object, which has no value to compare: name one of its fields, as in $.target.name")
	}
	return bad
}

// all is the conjunction of the conditions.
func (c *conditions) all() string {
	if len(c.clauses) == 0 {
		return "true"
	}
	return strings.Join(c.clauses, " AND ")
}

// clone returns conditions that can be added to.
func (c *conditions) clone() *conditions {
	return &conditions{clauses: slices.Clone(c.clauses), args: slices.Clone(c.args), served: c.served}
}

// addAny appends a clause that holds if one of the paths names a value with this
// text. The first part of it is quick, and an index serves it; the second compares
// exactly.
func (c *conditions) addAny(paths []string, value, equal string) {
	c.args = append(c.args, value)
	wanted := len(c.args)
	alternatives := make([]string, len(paths))
	for i, path := range paths {
		if equal != "" {
			c.args = append(c.args, path+" ? ("+equal+")")
			alternatives[i] = fmt.Sprintf("event_data @? $%d::text::jsonpath AND ", len(c.args))
		}
		c.args = append(c.args, path)
		alternatives[i] += fmt.Sprintf("EXISTS (SELECT 1 FROM jsonb_path_query(event_data, $%d::text::jsonpath) AS v WHERE v #>> '{}' = $%d)", len(c.args), wanted)
	}
	c.clauses = append(c.clauses, "("+strings.Join(alternatives, " OR ")+")")
}

// plainNumber is a number as jsonb spells it that a jsonpath can hold.
var plainNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,30})([.][0-9]{1,30})?$`)

// equals is a jsonpath predicate that holds for all values with a text, and maybe
// for others; false for a text that may be a number which the predicate cannot hold.
func equals(text string) (predicate string, ok bool) {
	quoted, err := json.Marshal(text)
	if err != nil {
		return "", false // a string always marshals
	}
	predicate = "@ == " + string(quoted)
	switch {
	case text == "true", text == "false", plainNumber.MatchString(text):
		return predicate + " || @ == " + text, true
	case strings.Trim(text, "-.0123456789") == "" && text != "":
		return "", false
	}
	return predicate, true
}
