package main

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit/wire"
)

// eventData is what a service says about a signal, 474 bytes.
const eventData = `{"request_id":"0190163d-8694-739b-aea5-966c26f8ad91","source":"alertmanager",` +
	`"fingerprint":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","signal_name":"KubePodCrashLooping",` +
	`"signal_type":"alert","severity":"critical","target_resource":{"kind":"Pod","name":"checkout-7f9c6d5b8-x2lqz","namespace":"shop"},` +
	`"attempt":3,"labels":{"container":"checkout","job":"kube-state-metrics","team":"payments","cluster":"eu-west-1"},` +
	`"summary":"Pod is crash looping, 5m"}`

// place stands for an id until it is set.
const place = "00000000-0000-0000-0000-000000000000"

// someTime stands for a time until it is set.
const someTime = "2026-01-02T03:04:05.678901Z"

// line is an event as package audit sends it.
const line = `{"actor_id":"gateway-0","actor_type":"service","cluster_id":"eu-west-1-prod","correlation_id":"rr-` + place + `",` +
	`"event_action":"received","event_category":"gateway","event_data":` + eventData + `,"event_id":"` + place + `","event_outcome":"success",` +
	`"event_timestamp":"` + someTime + `","event_type":"gateway.signal.received","namespace":"shop","producer_epoch":1767323045000,` +
	`"producer_id":"gateway-0","producer_seq":4711,"resource_id":"checkout-7f9c6d5b8-x2lqz","resource_type":"Pod","severity":"critical","version":"1.0"}` + "\n"

// eventsPerTrail is how many events have the same correlation id.
const eventsPerTrail = 8

// batch is a body whose ids can be set without encoding it again.
type batch struct {
	body []byte
	// ids and trails are where the ids of events and the correlation ids begin.
	ids, trails []int
}

func newBatch(events int) *batch {
	now := []byte(time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"))
	b := &batch{body: bytes.Repeat(bytes.Replace([]byte(line), []byte(someTime), now, 1), events)}
	trail, id := strings.Index(line, place), strings.LastIndex(line, place)
	for n := range events {
		b.trails = append(b.trails, n*len(line)+trail)
		b.ids = append(b.ids, n*len(line)+id)
	}
	return b
}

// renew gives all events ids of a time.
func (b *batch) renew(at time.Time) {
	var trail uuid.UUID
	for n := range b.ids {
		id := wire.NewID(at, rand.Uint64()) //nolint:gosec // ids need no secrecy here
		if n%eventsPerTrail == 0 {
			trail = id
		}
		put(b.body[b.ids[n]:], id)
		put(b.body[b.trails[n]:], trail)
	}
}

// renewOthers gives all events but the first new ids.
func (b *batch) renewOthers(at time.Time) {
	first := bytes.Clone(b.body[:len(line)])
	b.renew(at)
	copy(b.body, first)
}

// clone is a batch with the same ids.
func (b *batch) clone() *batch {
	return &batch{body: bytes.Clone(b.body), ids: b.ids, trails: b.trails}
}

// put writes an id as text.
func put(to []byte, id uuid.UUID) {
	for _, part := range [][3]int{{0, 0, 4}, {9, 4, 6}, {14, 6, 8}, {19, 8, 10}, {24, 10, 16}} {
		hex.Encode(to[part[0]:], id[part[1]:part[2]])
	}
}
