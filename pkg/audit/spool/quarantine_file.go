package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"kubernaut.ai/pkg/audit"
)

// quarantineVersion is the version of the quarantine's files.
const quarantineVersion = 1

// errUnreadable says that the contents of a file of the quarantine are not
// those that were written, or of a newer version.
var errUnreadable = errors.New("rejected events are unreadable")

// quarantineFile is a file of the quarantine.
type quarantineFile struct {
	Version int `json:"version"`
	// Checksum is the CRC-32C of Rejected without white space, in hexadecimal digits.
	Checksum string          `json:"crc32c"`
	Rejected json.RawMessage `json:"rejected"`
}

// rejectedEvent is a rejected event in its file.
type rejectedEvent struct {
	audit.Rejection

	// Position is the event's in the log, zero if it was never there.
	Position uint64 `json:"position,omitempty"`
	// LostEvents is how many events the log has lost, with code damaged.
	LostEvents int        `json:"lost_events,omitempty"`
	Event      *fileEvent `json:"event,omitempty"`
	// RawData is the event's data where it is not JSON.
	RawData []byte `json:"event_data_bytes,omitempty"`
}

// fileEvent is the contents of a rejected event in its file.
type fileEvent struct {
	stored

	Producer fileProducer `json:"producer"`
}

// fileProducer is an audit.Producer with names in the style of the others.
type fileProducer struct {
	ID       string `json:"id"`
	Epoch    int64  `json:"epoch"`
	Sequence uint64 `json:"sequence"`
}

func encodeQuarantine(rejected []audit.Quarantined) ([]byte, error) {
	list := make([]rejectedEvent, len(rejected))
	for i := range rejected {
		list[i].Rejection, list[i].Position, list[i].LostEvents = rejected[i].Rejection, rejected[i].Position, rejected[i].LostEvents
		if rejected[i].Event == nil {
			continue
		}
		event := fileEvent{stored: stored(*rejected[i].Event), Producer: fileProducer(rejected[i].Event.Producer)}
		if event.Data != nil && !json.Valid(event.Data) {
			list[i].RawData, event.Data = event.Data, nil
		}
		list[i].Event = &event
	}
	events, err := encodeJSON(list, "")
	if err != nil {
		return nil, err
	}
	checksum, err := jsonChecksum(events)
	if err != nil {
		return nil, err
	}
	return encodeJSON(quarantineFile{Version: quarantineVersion, Checksum: checksum, Rejected: events}, "  ")
}

func encodeJSON(value any, indent string) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return b.Bytes(), nil
}

func jsonChecksum(data []byte) (string, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return "", fmt.Errorf("checksum: %w", err)
	}
	return fmt.Sprintf("%08x", crc32.Checksum(compact.Bytes(), castagnoli)), nil
}

func decodeQuarantine(data []byte) ([]audit.Quarantined, error) {
	var file quarantineFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("its form is wrong: %w", err)
	}
	if file.Version > quarantineVersion {
		return nil, fmt.Errorf("version %d, this one reads up to %d", file.Version, quarantineVersion)
	}
	if checksum, err := jsonChecksum(file.Rejected); err != nil || checksum != file.Checksum || file.Version < 1 {
		return nil, errors.New("its checksum differs")
	}
	var list []rejectedEvent
	if err := json.Unmarshal(file.Rejected, &list); err != nil {
		return nil, fmt.Errorf("its form is wrong: %w", err)
	}
	rejected := make([]audit.Quarantined, len(list))
	for i := range list {
		rejected[i].Rejection, rejected[i].Position, rejected[i].LostEvents = list[i].Rejection, list[i].Position, list[i].LostEvents
		if list[i].Event == nil {
			continue
		}
		event := audit.Event(list[i].Event.stored)
		event.Producer = audit.Producer(list[i].Event.Producer)
		switch {
		case list[i].RawData != nil:
			event.Data = list[i].RawData
		case string(event.Data) == "null":
			event.Data = nil
		default:
			var compact bytes.Buffer
			if err := json.Compact(&compact, event.Data); err == nil {
				event.Data = compact.Bytes()
			}
		}
		rejected[i].Event = &event
	}
	return rejected, nil
}

// write puts events into a file, durably and in one step.
func (q *quarantine) write(number uint64, rejected []audit.Quarantined) error {
	data, err := encodeQuarantine(rejected)
	if err != nil {
		return err
	}
	return replaceFile(q.files, q.path(number), data)
}

// replaceFile gives a file new contents, durably and in one step: a temporary
// file, its contents synced, gets the name. After an error it has the old ones
// or the new ones.
func replaceFile(files Files, path string, data []byte) error {
	// One that could not be removed in its time is not in the way forever.
	if err := files.Remove(path + temporary); err != nil && !isGone(err) {
		return fmt.Errorf("write %s: %w", path, err)
	}
	file, err := files.Create(path+temporary, 0)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	err = fill(file, data, 0)
	if err == nil {
		err = files.Rename(path+temporary, path)
	}
	if err == nil {
		err = files.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = files.Remove(path + temporary) // the next time, or at the next Open, otherwise
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// fill writes the contents of a file durably, and closes it.
func fill(file File, data []byte, at int64) error {
	_, err := file.WriteAt(data, at)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// read gives the events of a file.
func (q *quarantine) read(number uint64) ([]audit.Quarantined, error) {
	file, err := q.files.Open(q.path(number))
	if err != nil {
		return nil, err //nolint:wrapcheck // names the operation and the path
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<40))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", q.path(number), err)
	}
	rejected, err := decodeQuarantine(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errUnreadable, q.path(number), err)
	}
	return rejected, nil
}
