// Package duplicates bounds how many audit events the duplicates of one request
// make: the first ones of an hour are recorded one by one, the others together
// once a second.
package duplicates
