package alertmanager_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestAnObjectWithThousandsOfLabelsIsUnusable(t *testing.T) {
	t.Parallel()
	var labels strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&labels, `,"l%d":""`, i)
	}
	_, err := read(strings.NewReader(strings.Replace(valid, `"A"`, `"A"`+labels.String(), 1)), limits())
	if err == nil || !strings.Contains(err.Error(), "alerts[0].labels: has more than 1024") {
		t.Errorf("error %v", err)
	}
}

func TestLabelsThatAreNullOrInvalidUTF8AreText(t *testing.T) {
	t.Parallel()
	o := parse(t, []byte(strings.Replace(valid, `"A"`, `"A","none":null,"twice":"a","twice":"b","bad":"`+"\xff"+`\ud800"`, 1))).Observations.At(0)
	if o.Labels["none"] != "" || o.Labels["twice"] != "b" || o.Labels["bad"] != "\ufffd\ufffd" {
		t.Errorf("labels %q", o.Labels)
	}
}
