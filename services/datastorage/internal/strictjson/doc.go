// Package strictjson reads JSON as an audit store must: what one reader could
// take for something else is refused. Names are case-sensitive and given once
// (RFC 7493), text is UTF-8 without NUL and without unpaired surrogates, numbers
// fit what any reader of the trail can hold, and nesting is bounded.
//
// Check is called once on a whole text; the other functions rely on it and
// work on the text in place.
package strictjson
