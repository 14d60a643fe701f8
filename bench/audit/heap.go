package main

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// liveHeap is what a collection leaves, in bytes; the second one frees what pools kept.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// heapPeak is the largest heap seen so far, garbage included.
type heapPeak struct {
	// bytes belongs to the watching goroutine until stop has returned.
	bytes float64

	ask, done chan struct{}
}

// heapSample is how often the heap's size is looked at.
const heapSample = time.Millisecond

// watchHeap looks at the heap until it is stopped, without stopping the world.
func watchHeap() *heapPeak {
	h := &heapPeak{ask: make(chan struct{}), done: make(chan struct{})}
	go h.run()
	return h
}

func (h *heapPeak) run() {
	defer close(h.done)
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	ticker := time.NewTicker(heapSample)
	defer ticker.Stop()
	for {
		metrics.Read(samples)
		h.bytes = max(h.bytes, float64(samples[0].Value.Uint64()))
		select {
		case <-ticker.C:
		case <-h.ask:
			return
		}
	}
}

// stop ends the watch.
func (h *heapPeak) stop() {
	close(h.ask)
	<-h.done
}
