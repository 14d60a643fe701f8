// Package spooltest has a disk in memory, for tests of package spool and of
// what is built on it: it forgets on a crash what was not synced, fails on
// demand, fills up, and lets a test change bytes behind the spool's back.
//
//	disk := spooltest.NewDisk()
//	events, err := spool.Open("/spool", spool.WithFiles(disk))
//	...
//	disk.Crash() // the process dies, and the power fails
//	events, err = spool.Open("/spool", spool.WithFiles(disk))
//
// It has no goroutine and no clock, and so can be used in a testing/synctest bubble.
package spooltest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
)

// Operation is something that a Disk can be told to fail.
type Operation int

// The operations that can fail.
const (
	Read Operation = iota + 1
	Write
	Sync
	Create
	Rename
	Remove
	SyncDir
)

// ErrFailed is wrapped by the errors of operations that were told to fail.
var ErrFailed = errors.New("input/output error")

// errCrashed is what everything of the time before a crash answers.
var errCrashed = errors.New("the process has crashed")

// Disk is a spool.Files in memory. All methods may be called from any goroutine.
// A spool that was opened on it dies with Crash, and touches nothing any more:
// neither its open files nor the names of others.
type Disk struct {
	mu sync.Mutex // guards everything, in nodes as well

	entries  map[string]*node // what a process sees, by clean path
	durable  map[string]*node // what a crash leaves
	pending  []change         // of entries, since their directories were synced
	locks    map[string]bool
	random   *rand.Rand // nil: nothing survives a crash that was not synced
	capacity int64      // in bytes; 0: no limit
	lying    bool
	failures map[Operation][]bool // whether the operation takes effect nevertheless
	counts   map[Operation]int
	process  int // counts crashes; files and locks of an earlier process are dead
	open     int
}

// change is an entry that was made or replaced (node) or removed (nil).
type change struct {
	path string
	node *node
}

// Option configures a Disk.
type Option func(*Disk)

// WithCapacity bounds the bytes of all files: beyond it the disk is full.
func WithCapacity(bytes int64) Option { return func(d *Disk) { d.capacity = bytes } }

// WithTornWrites lets a crash keep some of what was not synced: any 512 byte
// sectors of any file, and the first few changes of directories. The seed
// decides which, so that a run can be repeated.
func WithTornWrites(seed uint64) Option {
	return func(d *Disk) { d.random = rand.New(rand.NewPCG(seed, 0)) } //nolint:gosec // repeatable on purpose
}

// WithLyingSync makes Sync confirm what it does not keep: a test that does not
// notice this proves nothing about power loss.
func WithLyingSync() Option { return func(d *Disk) { d.lying = true } }

// NewDisk makes an empty disk.
func NewDisk(options ...Option) *Disk {
	d := &Disk{
		entries: map[string]*node{"/": {dir: true}, ".": {dir: true}}, durable: map[string]*node{},
		locks: map[string]bool{}, failures: map[Operation][]bool{}, counts: map[Operation]int{},
	}
	for _, option := range options {
		option(d)
	}
	return d
}

// SetCapacity changes the bound of all files' bytes; 0 for none.
func (d *Disk) SetCapacity(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes
}

// FailNext makes the next operation of a kind that has no failure yet return
// an error: either without its effect, or after it. A Sync that fails without
// effect drops what it should have kept, as Linux does: a second Sync does not
// bring it back.
func (d *Disk) FailNext(operation Operation, afterEffect bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures[operation] = append(d.failures[operation], afterEffect)
}

// Count tells how often an operation was asked for.
func (d *Disk) Count(operation Operation) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts[operation]
}

// OpenFiles counts the open files and locks of this process.
func (d *Disk) OpenFiles() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// Crash is the loss of power: what was not synced is forgotten, and files and
// locks of the time before are dead.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.process++
	d.open = 0
	clear(d.locks)
	clear(d.failures)
	survive := 0
	if d.random != nil {
		survive = d.random.IntN(len(d.pending) + 1)
	}
	for _, c := range d.pending[:survive] {
		c.apply(d.durable)
	}
	d.pending = nil
	for _, n := range nodesOf(d.entries, d.durable) {
		n.crash(d.random)
	}
	d.entries = map[string]*node{"/": {dir: true}, ".": {dir: true}}
	maps.Copy(d.entries, d.durable)
}

// Corrupt changes the contents of a file, in memory and on the medium.
func (d *Disk) Corrupt(name string, damage func(contents []byte) []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file("corrupt", name)
	if err != nil {
		return err
	}
	n.data = damage(slices.Clone(n.data))
	n.kept = slices.Clone(n.data)
	n.dirty = nil
	return nil
}

// Contents gives a copy of a file's contents.
func (d *Disk) Contents(name string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.file("read", name)
	if err != nil {
		return nil, err
	}
	return slices.Clone(n.data), nil
}

// Put makes a durable file, or replaces its contents.
func (d *Disk) Put(name string, contents []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = clean(name)
	for dir := path.Dir(name); d.entries[dir] == nil; dir = path.Dir(dir) {
		n := &node{dir: true}
		d.entries[dir], d.durable[dir] = n, n
	}
	n := &node{data: slices.Clone(contents), kept: slices.Clone(contents)}
	d.entries[name], d.durable[name] = n, n
}

// String lists the files and their sizes, for messages of failed tests.
func (d *Disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	for _, p := range paths(d.entries) {
		if n := d.entries[p]; !n.dir {
			fmt.Fprintf(&b, "%s %d\n", p, len(n.data))
		}
	}
	return b.String()
}
