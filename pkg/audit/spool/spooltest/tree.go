package spooltest

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"
)

func clean(name string) string { return path.Clean(filepath.ToSlash(name)) }

// nodesOf gives each node once, in the order of the paths: what a seed decides
// must not hang on the order of a map.
func nodesOf(trees ...map[string]*node) []*node {
	var nodes []*node
	seen := map[*node]bool{}
	for _, tree := range trees {
		for _, p := range paths(tree) {
			if n := tree[p]; !seen[n] {
				seen[n] = true
				nodes = append(nodes, n)
			}
		}
	}
	return nodes
}

func paths(tree map[string]*node) []string {
	all := make([]string, 0, len(tree))
	for p := range tree {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// fails counts an operation and takes its failure, if there is one.
func (d *Disk) fails(operation Operation) (failing, afterEffect bool) {
	d.counts[operation]++
	if planned := d.failures[operation]; len(planned) > 0 {
		d.failures[operation] = planned[1:]
		return true, planned[0]
	}
	return false, false
}

// do runs the effect of an operation, unless it is to fail without.
func (d *Disk) do(operation Operation, what, name string, effect func() error) error {
	failing, afterEffect := d.fails(operation)
	if !failing || afterEffect {
		if err := effect(); err != nil {
			return &fs.PathError{Op: what, Path: name, Err: err}
		}
	}
	if failing {
		return &fs.PathError{Op: what, Path: name, Err: ErrFailed}
	}
	return nil
}

func (d *Disk) file(what, name string) (*node, error) {
	n := d.entries[clean(name)]
	if n == nil || n.dir {
		return nil, &fs.PathError{Op: what, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func (c change) apply(tree map[string]*node) {
	if c.node == nil {
		delete(tree, c.path)
		return
	}
	tree[c.path] = c.node
}

// change changes an entry for the processes.
func (d *Disk) change(name string, n *node) {
	c := change{clean(name), n}
	c.apply(d.entries)
	d.pending = append(d.pending, c)
}

// used is the sum of the sizes of all files. Called with the lock.
func (d *Disk) used() int64 {
	var bytes int64
	for _, n := range d.entries {
		bytes += int64(len(n.data))
	}
	return bytes
}
