package chaos

import (
	"strings"
	"testing"
)

func TestLineWriterPassesWholeLines(t *testing.T) {
	var got []string
	l := &lineWriter{take: func(line []byte) { got = append(got, string(line)) }}
	for _, chunk := range []string{"o", "ne\ntwo\nth", "ree\nhalf"} {
		if n, err := l.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if text := strings.Join(got, ","); text != "one,two,three" {
		t.Errorf("lines %s", text)
	}
	if _, err := l.Write(make([]byte, maxLine)); err == nil {
		t.Error("accepted a line longer than maxLine")
	}
}
