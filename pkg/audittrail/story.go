package audittrail

import "kubernaut.ai/api/datastorage"

// Story splits a trail: what its events tell, and the events apart from that.
// Apart are those of recorders that may not write events of their types, and
// those whose recorders could not be checked; see the fields Foreign and
// RecorderUnchecked. Both parts keep the order.
func Story(events []datastorage.StoredEvent) (story, apart []datastorage.StoredEvent) {
	for i := range events {
		if events[i].Foreign || events[i].RecorderUnchecked {
			apart = append(apart, events[i])
		} else {
			story = append(story, events[i])
		}
	}
	return story, apart
}
