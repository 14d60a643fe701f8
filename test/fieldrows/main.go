// Command fieldrows compares the table of what senders do with the specs that
// passed: each row needs a spec whose name contains "field <row>: ".
//
//	go run ./test/fieldrows -table docs/signals.md -report out/integration.xml
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
	table := flag.String("table", "docs/signals.md", "the Markdown file with the table")
	report := flag.String("report", "out/integration.xml", "the JUnit report of the specs")
	flag.Parse()
	if err := run(os.Stdout, *table, *report); err != nil {
		fmt.Fprintln(os.Stderr, "fieldrows:", err)
		os.Exit(1)
	}
}

var errMissing = errors.New("rows without a spec that passed")

func run(out io.Writer, tablePath, reportPath string) error {
	table, err := os.ReadFile(tablePath)
	if err != nil {
		return fmt.Errorf("read the table: %w", err)
	}
	rows := rowsOf(string(table))
	if len(rows) == 0 {
		return fmt.Errorf("%s has no table row that begins with a row number, such as | S1 |", tablePath)
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
