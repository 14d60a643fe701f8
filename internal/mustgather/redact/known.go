package redact

import (
	"strings"
	"sync"
)

const (
	maxKnown    = 20_000
	longestKnow = 128 // bytes
)

// known is a bounded set of short texts. It is safe for concurrent use.
type known struct {
	mu    sync.RWMutex
	texts map[string]struct{}
}

func (k *known) has(text string) bool {
	if len(text) > longestKnow {
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, found := k.texts[text]
	return found
}

func (k *known) add(text string) {
	if len(text) > longestKnow {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.texts == nil {
		k.texts = map[string]struct{}{}
	}
	if len(k.texts) < maxKnown {
		k.texts[strings.Clone(text)] = struct{}{} // not the text that it is a part of
	}
}
