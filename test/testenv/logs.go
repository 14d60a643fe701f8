package testenv

import (
	"bytes"
	"context"
	"net/http"
	"path"
	"strconv"
)

// ShowLog makes kubectl logs of a pod show what the process behind it has logged: what
// read returns, with a line for each entry. It returns the name of the node that the pod
// has to be on.
func (e *Env) ShowLog(ctx context.Context, namespace, pod string, read func() []byte) (node string, err error) {
	k, err := e.theKubelet(ctx)
	if err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.logs[namespace+"/"+pod] = read
	return k.node, nil
}

// PodAddress is the address of another pod: the API server reaches the port of a process
// of this machine there.
func PodAddress() string { return randomPodIP() }

// serveLog answers for NAMESPACE/POD/CONTAINER. Of the options it knows the number of lines.
func (k *kubelet) serveLog(w http.ResponseWriter, r *http.Request, container string) {
	k.mu.Lock()
	read := k.logs[path.Dir(container)]
	k.mu.Unlock()
	if read == nil {
		http.NotFound(w, r)
		return
	}
	text := read()
	if tail, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil {
		lines := bytes.SplitAfter(text, []byte("\n")) // the last one is empty
		text = bytes.Join(lines[max(0, len(lines)-1-tail):], nil)
	}
	_, _ = w.Write(text) // the client may be gone
}
