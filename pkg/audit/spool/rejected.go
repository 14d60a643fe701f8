package spool

import (
	"fmt"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

// codeDamaged is the audit.Rejection.Code that stands for events lost on disk.
const codeDamaged = "damaged"

// Quarantine keeps rejected events durably; see audit.Spool.
func (s *Spool) Quarantine(rejected []audit.Quarantined) error {
	err := s.quarantine.add(rejected)
	if err == nil {
		err = s.reportLosses(rejected)
	}
	if err != nil {
		return fmt.Errorf("spool %s: quarantine %d events: %w", s.dir, len(rejected), err)
	}
	return nil
}

// reportLosses remembers durably that the losses which Open found are in quarantine.
func (s *Spool) reportLosses(rejected []audit.Quarantined) error {
	for i := range rejected {
		if rejected[i].Code == codeDamaged {
			return full(s.quarantine.remember(reported, s.damage.lost))
		}
	}
	return nil
}

// Quarantined lists the rejected events, oldest first. An event's data is the
// same JSON in its shortest form. See audit.Spool.
func (s *Spool) Quarantined() ([]audit.Quarantined, error) {
	rejected, err := s.quarantine.list()
	if err != nil {
		return rejected, fmt.Errorf("spool %s: %w", s.dir, err)
	}
	return rejected, nil
}

// Discard removes rejected events; see audit.Spool.
func (s *Spool) Discard(ids []uuid.UUID) error {
	if err := s.quarantine.discard(ids); err != nil {
		return fmt.Errorf("spool %s: discard rejected events: %w", s.dir, err)
	}
	return nil
}

// terminalDurably tells the quarantine which positions cannot come back without
// its help, and which one is the newest.
func (s *Spool) terminalDurably() (terminal, newest uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	terminal = s.terminalOnDisk
	if len(s.segments) > 0 && s.segments[0].durable {
		terminal = max(terminal, s.segments[0].base-1)
	}
	return terminal, s.next - 1
}
