package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/bench/ratio"
)

// replay makes the needed calls of a remediation again, one after the other, about another target in
// a namespace that no service watches. The bodies are those that the services sent, with other names,
// UIDs and versions.
type replay struct {
	*servers

	api, storage *http.Client
	calls        []*call
	// names of the recorded request and its target.
	request, target string
}

// newReplay chooses the needed ones of recorded calls.
func newReplay(s *servers, recorded *survey) (*replay, error) {
	p := &replay{servers: s, storage: newSenders(1), request: recorded.request, target: recorded.target}
	var err error
	if p.api, err = rest.HTTPClientFor(rest.AnonymousClientConfig(s.config)); err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	left := map[string]int{}
	for _, n := range neededCalls {
		left[n.key()] = n.count
	}
	for _, c := range recorded.calls {
		if c.status == http.StatusConflict || !c.storage && left[c.key()] == 0 {
			continue
		}
		left[c.key()]--
		p.calls = append(p.calls, c)
	}
	return p, nil
}

// requestName is the name of a request: a part of the fingerprint, and of the occurrence.
var requestName = regexp.MustCompile(`^rr-([0-9a-f]{12})-([0-9a-f]{20})$`)

// show prints how many calls are needed.
func (p *replay) show(report *ratio.Report) {
	api, reads, stores := 0, 0, 0
	for _, c := range p.calls {
		switch {
		case c.storage:
			stores++
		case c.method == http.MethodGet:
			reads++
			api++
		default:
			api++
		}
	}
	report.Figuref("needed of them: %d calls of the API server, of which %d read, and %d of DataStorage", api, reads, stores)
}

// replaying is one replay.
type replaying struct {
	*replay

	// renamed are names and UIDs, the recorded and the new one in turn.
	renamed []string
	// versions by the path of an object.
	versions map[string]string
	// token of the workflow's service account.
	token string
}

// run makes the calls, and returns how long they took in all.
func (p *replay) run(ctx context.Context, target *appsv1.Deployment) (time.Duration, error) {
	parts := requestName.FindStringSubmatch(p.request)
	once := &replaying{replay: p, versions: map[string]string{}, renamed: []string{
		parts[1], digits(len(parts[1])), parts[2], digits(len(parts[2])), p.target, target.Name, shopNamespace, target.Namespace,
	}}
	once.versions[deploymentPath(target)] = target.ResourceVersion
	var total time.Duration
	for _, c := range p.calls {
		if c.name == writeTarget || strings.HasPrefix(c.name, getTarget) {
			once.rename(c.answer, []byte(fmt.Sprintf(`{"metadata":{"uid":%q}}`, target.UID)))
		}
		took, err := once.call(ctx, c)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.name, err)
		}
		total += took
	}
	return total, nil
}

func deploymentPath(d *appsv1.Deployment) string {
	return "/apis/apps/v1/namespaces/" + d.Namespace + "/deployments/" + d.Name
}

// digits are random hexadecimal digits.
func digits(count int) string {
	text := make([]byte, (count+1)/2)
	_, _ = rand.Read(text) // never fails
	return hex.EncodeToString(text)[:count]
}

// rename notes that an object has another UID.
func (r *replaying) rename(recorded, fresh []byte) {
	before, after := identityOf(recorded).Metadata.UID, identityOf(fresh).Metadata.UID
	if before != "" && after != "" && before != after {
		r.renamed = append(r.renamed, before, after)
	}
}

var (
	versionMember = regexp.MustCompile(`("resourceVersion":|"path":"/metadata/resourceVersion","value":)"[0-9]+"`)
	eventID       = regexp.MustCompile(`("event_id":)"[0-9a-f-]{36}"`)
)

// call makes a call, and measures from sending the request to the end of the answer.
func (r *replaying) call(ctx context.Context, c *call) (time.Duration, error) {
	names := strings.NewReplacer(r.renamed...)
	path, body := names.Replace(c.path), names.Replace(string(c.body))
	object := strings.TrimSuffix(path, "/status")
	if version := r.versions[object]; version != "" {
		body = versionMember.ReplaceAllString(body, `${1}"`+version+`"`)
	}
	to, through := r.config.Host, r.api
	if c.storage {
		to, through = r.dataStorageURL, r.storage
		body = eventID.ReplaceAllStringFunc(body, func(string) string { return `"event_id":"` + uuid.Must(uuid.NewV7()).String() + `"` })
	}
	if c.query != "" {
		path += "?" + names.Replace(c.query)
	}
	request, err := http.NewRequestWithContext(ctx, c.method, to+path, strings.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	request.Header.Set("Content-Type", c.contentType)
	request.Header.Set("Accept", c.accept)
	if c.account {
		request.Header.Set("Authorization", "Bearer "+r.token)
	} else if !c.storage {
		request.Header.Set("Authorization", "Bearer "+r.config.BearerToken)
	}
	began := time.Now()
	response, err := through.Do(request)
	if err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	answer, err := io.ReadAll(response.Body)
	took := time.Since(began)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != c.status {
		return 0, fmt.Errorf("%s %s %s: answered %d, when recorded %d: %s", c.method, path, body, response.StatusCode, c.status, bytes.TrimSpace(answer))
	}
	r.learn(c, object, answer)
	return took, nil
}

// learn notes what an answer says.
func (r *replaying) learn(c *call, object string, answer []byte) {
	found := identityOf(answer)
	r.rename(c.answer, answer)
	if found.Status.Token != "" {
		r.token = found.Status.Token
	}
	if version := found.Metadata.ResourceVersion; version != "" && !strings.Contains(c.query, "dryRun") {
		if c.method == http.MethodPost {
			object += "/" + found.Metadata.Name
		}
		r.versions[object] = version
	}
}

// release lets the requests of a namespace go that no service watches.
func (s *servers) release(ctx context.Context, namespace string) error {
	var list v1alpha1.RemediationRequestList
	if err := s.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("list requests: %w", err)
	}
	for i := range list.Items {
		released := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
		if err := s.client.Patch(ctx, &list.Items[i], released); err != nil {
			return fmt.Errorf("release request: %w", err)
		}
	}
	return nil
}
