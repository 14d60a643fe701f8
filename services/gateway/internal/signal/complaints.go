package signal

import "fmt"

// Complaints collects what is wrong with a body or a signal. It names
// [MaxComplaints] fields and counts the others.
type Complaints struct {
	fields map[string]string
	more   int
}

// Addf adds what is wrong with a field.
func (c *Complaints) Addf(path, format string, args ...any) {
	if c.Full() {
		c.more++
		return
	}
	if c.fields == nil {
		c.fields = map[string]string{}
	}
	c.fields[path] = fmt.Sprintf(format, args...)
}

// Add takes over the fields of an error.
func (c *Complaints) Add(e *InvalidError) {
	for path, problem := range e.Fields {
		c.Addf(path, "%s", problem)
	}
}

// Join takes over the problems of other complaints.
func (c *Complaints) Join(other *Complaints) {
	for path, problem := range other.fields {
		c.Addf(path, "%s", problem)
	}
	c.more += other.more
}

// Any reports whether something is wrong.
func (c *Complaints) Any() bool { return len(c.fields) > 0 }

// AddUnnamed counts problems without naming them.
func (c *Complaints) AddUnnamed(n int) { c.more += n }

// Full reports whether further problems are only counted.
func (c *Complaints) Full() bool { return len(c.fields) >= MaxComplaints }

// Invalid returns nil if nothing is wrong.
func (c *Complaints) Invalid() *InvalidError {
	if len(c.fields) == 0 {
		return nil
	}
	if c.more > 0 {
		c.fields["..."] = fmt.Sprintf("and %d more", c.more)
	}
	return &InvalidError{Fields: c.fields}
}
