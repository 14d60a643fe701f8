package supervise

import (
	"strings"
	"testing"
)

func TestOutputAnnouncesALineThatArrivesInParts(t *testing.T) {
	t.Parallel()
	o := newOutput()
	seen := o.seen("is ready")
	_, _ = o.Write([]byte("the server is"))
	select {
	case <-seen:
		t.Fatal("announced too early")
	default:
	}
	_, _ = o.Write([]byte(" ready\nmore"))
	<-seen
	<-o.seen("is ready") // and to whoever asks later
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	o := newOutput()
	for range 100 {
		_, _ = o.Write([]byte(strings.Repeat("x", outputLimit/3)))
	}
	_, _ = o.Write([]byte("end"))
	if got := o.String(); len(got) > 2*outputLimit || !strings.HasSuffix(got, "end") {
		t.Errorf("kept %d bytes, ending in %q", len(got), got[len(got)-5:])
	}
	if len(o.partial) > 2*outputLimit {
		t.Errorf("an endless line kept %d bytes", len(o.partial))
	}
}
