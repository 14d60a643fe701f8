package database

import (
	"net"
	"time"
)

// A server that vanished without a word (a lost node, a dropped route) is noticed
// after about six seconds, whether a connection waits for an answer or for an
// acknowledgement of what it sent.
const (
	keepaliveIdle     = 3 * time.Second
	keepaliveInterval = 1 * time.Second
	keepaliveCount    = 3
	unacknowledged    = keepaliveIdle + keepaliveCount*keepaliveInterval
)

func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: keepaliveCount},
		Control:         limitUnacknowledged,
	}
}
