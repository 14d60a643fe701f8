package quota

// Senders returns how many senders are remembered.
func (q *Quota) Senders() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.senders.seen)
}
