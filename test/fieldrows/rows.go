package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
)

var (
	tableRow = regexp.MustCompile(`(?m)^\| ([A-Z][0-9]+) \|`)
	specRow  = regexp.MustCompile(`\bfield ([A-Z][0-9]+): `)
)

// rowsOf returns the numbers of the table's rows, in their order.
func rowsOf(table string) []string {
	matches := tableRow.FindAllStringSubmatch(table, -1)
	rows := make([]string, 0, len(matches))
	for _, match := range matches {
		rows = append(rows, match[1])
	}
	return rows
}

// junit is what we read of a report.
type junit struct {
	Suites []struct {
		Cases []struct {
			Name   string `xml:"name,attr"`
			Status string `xml:"status,attr"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

// passedSpecs returns the names of the specs that passed.
func passedSpecs(report io.Reader) ([]string, error) {
	var found junit
	if err := xml.NewDecoder(report).Decode(&found); err != nil {
		return nil, fmt.Errorf("not a JUnit report: %w", err)
	}
	var passed []string
	for _, suite := range found.Suites {
		for _, spec := range suite.Cases {
			if spec.Status == "passed" {
				passed = append(passed, spec.Name)
			}
		}
	}
	return passed, nil
}

// compare returns the rows that no spec names, and how many specs name one.
func compare(rows, specs []string) (missing []string, named int) {
	covered := map[string]bool{}
	for _, spec := range specs {
		if match := specRow.FindStringSubmatch(spec); match != nil {
			covered[match[1]] = true
			named++
		}
	}
	for _, row := range rows {
		if !covered[row] {
			missing = append(missing, row)
		}
	}
	return missing, named
}
