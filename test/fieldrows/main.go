// Command fieldrows compares the tables of what senders and others do with the
// specs that passed: each row needs a spec whose name contains "field <row>: ".
//
//	go run ./test/fieldrows -report out/integration.xml docs/signals.md docs/faults.md
//
// It prints the rows without a spec, and fails if there is one.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	report := flag.String("report", "out/integration.xml", "the JUnit report of the specs")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: fieldrows [-report FILE] TABLE.md...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(os.Stdout, *report, flag.Args()...); err != nil {
		fmt.Fprintln(os.Stderr, "fieldrows:", err)
		os.Exit(1)
	}
}

var errMissing = errors.New("rows without a spec that passed")

func run(out io.Writer, reportPath string, tablePaths ...string) error {
	var rows []string
	for _, path := range tablePaths {
		table, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read the table: %w", err)
		}
		found := rowsOf(string(table))
		if len(found) == 0 {
			return fmt.Errorf("%s has no table row that begins with a row number, such as | S1 |", path)
		}
		rows = append(rows, found...)
	}
	report, err := os.Open(reportPath)
	if err != nil {
		return fmt.Errorf("open the report: %w", err)
	}
	defer report.Close()
	passed, err := passedSpecs(report)
	if err != nil {
		return fmt.Errorf("%s: %w", reportPath, err)
	}
	missing, specs := compare(rows, passed)
	without := "none"
	if len(missing) > 0 {
		without = strings.Join(missing, " ")
	}
	fmt.Fprintf(out, "field rows %d specs %d rows without a spec: %s\n", len(rows), specs, without)
	if len(missing) > 0 {
		return errMissing
	}
	return nil
}
