package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"reflect"
	"testing"
	"testing/quick"
	"time"

	"kubernaut.ai/pkg/audit"
)

func encodeOne(tb testing.TB, h header, event *audit.Event) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := appendRecord(&b, &h, event); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// TestRecordOfEveryEvent round-trips events of random contents.
func TestRecordOfEveryEvent(t *testing.T) {
	round := func(s stored, seconds int32, noData, noDuration bool) bool {
		event := audit.Event(s)
		event.Timestamp = time.Unix(int64(seconds), 123_456_789).UTC()
		if noData {
			event.Data = nil
		}
		if noDuration {
			event.Duration = nil
		}
		h := header{Position: 9, First: 7, Terminal: 5, Footprint: 2000}
		got, data, err := openRecord(encodeOne(t, h, &event))
		if err != nil || got != h {
			t.Logf("header %+v: %v", got, err)
			return false
		}
		back, err := decodeEvent(data)
		return err == nil && reflect.DeepEqual(back, event)
	}
	// quick cannot make a time.Time, so the fields around it are made one by one.
	config := &quick.Config{MaxCount: 300}
	ofParts := func(id, parent [16]byte, texts [19]string, data []byte, duration int64, days int32, sensitive bool, epoch int64, sequence uint64,
		seconds int32, noData, noDuration bool,
	) bool {
		d := time.Duration(duration)
		if data == nil {
			data = []byte{}
		}
		return round(stored{
			ID: id, Version: texts[0], Type: texts[1], Category: texts[2], Action: texts[3], Outcome: audit.Outcome(texts[4]),
			CorrelationID: texts[5], Data: data, ActorType: texts[6], ActorID: texts[7], ActorIP: texts[8],
			ResourceType: texts[9], ResourceID: texts[10], Namespace: texts[11], ClusterID: texts[12], Severity: texts[13],
			Duration: &d, ErrorCode: texts[14], ErrorMessage: texts[15], ParentID: parent, RetentionDays: days, Sensitive: sensitive,
			Producer: audit.Producer{ID: texts[16], Epoch: epoch, Sequence: sequence},
		}, seconds, noData, noDuration)
	}
	if err := quick.Check(ofParts, config); err != nil {
		t.Fatal(err)
	}
}

// TestRecordOnDisk pins the format: what one version wrote, the next has to read.
func TestRecordOnDisk(t *testing.T) {
	duration := time.Duration(0)
	event := audit.Event{
		Version: "1.0", Type: "a.b.c", Timestamp: time.Unix(1, 2000).UTC(), Category: "a", Action: "b", Outcome: audit.OutcomeFailure,
		CorrelationID: "rr", Data: []byte(`{}`), Duration: &duration, Sensitive: true, Producer: audit.Producer{ID: "p", Epoch: 1, Sequence: 2},
	}
	got := encodeOne(t, header{Position: 3, First: 2, Terminal: 1, Footprint: 1100}, &event)
	if hex.EncodeToString(got) != golden {
		t.Fatalf("the format changed: %x", got)
	}
}

// golden is a record of version 1.
const golden = "1f15249d018403020119044cad0150000000000000000000000000000000000263312e300365612e622e6304781b31393730" +
	"2d30312d30315430303a30303a30312e3030303030325a05616106616207676661696c7572650862727209427b7d12001550" +
	"0000000000000000000000000000000017f51818a362494461706545706f6368016853657175656e636502"

func TestRecordOfANewerVersionIsRefused(t *testing.T) {
	record := encodeOne(t, header{Position: 1, First: 1, Footprint: 1024}, &audit.Event{})
	record[checksumBytes] = formatVersion + 1
	binary.LittleEndian.PutUint32(record, crc32.Checksum(record[checksumBytes:], castagnoli))
	if _, _, err := openRecord(record); !errors.Is(err, errNewer) {
		t.Fatalf("got %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encodeOne(f, header{Position: 2, First: 1, Footprint: 1024}, &audit.Event{Type: "a.b.c", Data: []byte(`{}`)}))
	f.Add(encodeOne(f, header{Position: 2, First: 2, Terminal: 1}, nil))
	f.Fuzz(func(t *testing.T, record []byte) {
		if len(record) >= checksumBytes {
			// Behind the checksum is where it gets interesting.
			binary.LittleEndian.PutUint32(record, crc32.Checksum(record[checksumBytes:], castagnoli))
		}
		h, data, err := openRecord(record)
		if err != nil {
			return
		}
		event, err := decodeEvent(data)
		if err != nil {
			return
		}
		again := encodeOne(t, h, &event)
		h2, data, err := openRecord(again)
		if err != nil || h2 != h {
			t.Fatalf("%+v became %+v: %v", h, h2, err)
		}
		if event2, err := decodeEvent(data); err != nil || !reflect.DeepEqual(event2, event) {
			t.Fatalf("%+v became %+v: %v", event, event2, err)
		}
	})
}
