package audit_test

import (
	"errors"
	"io"
	"sync/atomic"

	"kubernaut.ai/pkg/audit/spool"
)

// mortalFiles are the files of one process: after its death it can touch none.
type mortalFiles struct {
	files spool.Files
	dead  *atomic.Bool
}

var errDead = errors.New("the process of this file system is dead")

func (m mortalFiles) MakeDir(dir string) error {
	return m.does(func() error { return m.files.MakeDir(dir) })
}

func (m mortalFiles) List(dir string) ([]spool.Entry, error) {
	return whileAlive(m, func() ([]spool.Entry, error) { return m.files.List(dir) })
}

func (m mortalFiles) Lock(dir string) (io.Closer, error) {
	return whileAlive(m, func() (io.Closer, error) { return m.files.Lock(dir) })
}

func (m mortalFiles) Create(path string, size int64) (spool.File, error) {
	return whileAlive(m, func() (spool.File, error) { return m.files.Create(path, size) })
}

func (m mortalFiles) Open(path string) (spool.File, error) {
	return whileAlive(m, func() (spool.File, error) { return m.files.Open(path) })
}

func (m mortalFiles) Rename(from, to string) error {
	return m.does(func() error { return m.files.Rename(from, to) })
}

func (m mortalFiles) Remove(path string) error {
	return m.does(func() error { return m.files.Remove(path) })
}

func (m mortalFiles) SyncDir(dir string) error {
	return m.does(func() error { return m.files.SyncDir(dir) })
}

func (m mortalFiles) alive() error {
	if m.dead.Load() {
		return errDead
	}
	return nil
}

func (m mortalFiles) does(do func() error) error {
	if err := m.alive(); err != nil {
		return err
	}
	return do()
}

func whileAlive[T any](m mortalFiles, do func() (T, error)) (T, error) {
	if err := m.alive(); err != nil {
		var none T
		return none, err
	}
	return do()
}
