//go:build integration

package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/internal/auth"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
)

// The callers of a service: one that behaves, and one that does not.
const behaves, stalls = "behaves", "stalls"

// twoCallers is authentication for both. The token of each is its name.
func twoCallers() auth.Flags {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "tokens")
	all := []string{"rights=read,write", "types=*", "namespaces=*"}
	lines := tokenLine(behaves, behaves, all...) + tokenLine(stalls, stalls, all...)
	Expect(os.WriteFile(file, []byte(lines), 0o600)).To(Succeed())
	return auth.Flags{Mode: auth.ModeTokenFile, File: file}
}

// request opens a connection and sends a request, or its beginning.
func request(ctx context.Context, base, method, path string, length int, body string) net.Conn {
	GinkgoHelper()
	at, err := url.Parse(base)
	Expect(err).NotTo(HaveOccurred())
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", at.Host)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = connection.Close() })
	_, err = fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		method, path, at.Host, stalls, length, body)
	Expect(err).NotTo(HaveOccurred())
	return connection
}

// responseOn reads the response on a connection.
func responseOn(connection net.Conn) (status int, body string) {
	GinkgoHelper()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// behaved is how a well-behaved caller sends its requests.
func behaved() http.Header {
	h := alertmanager.JSON()
	h.Set("Authorization", "Bearer "+behaves)
	return h
}

// idleUploads start a body of 16 MiB and stop at once.
const idleUploads, idleLength = 160, 16 << 20

var _ = Describe("slow clients", func() {
	It("field C3: uploads to DataStorage that stall end with 408, and hold nothing that another caller needs", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth = twoCallers() })
		idle := make([]net.Conn, 0, idleUploads)
		for range idleUploads {
			idle = append(idle, request(ctx, own.URL, http.MethodPost, storeBatch, idleLength, `[{"version":`))
		}
		id := env.CorrelationID()
		Expect(storeCall(ctx, own.URL, http.MethodPost, storeBatch, behaved(), encode(someEvents(id, 1000))).code).To(Equal(http.StatusCreated))
		large := encode([]fields{anEvent(id, fields{"event_data": fields{"text": strings.Repeat("x", 1<<20-100)}})})
		Expect(storeCall(ctx, own.URL, http.MethodPost, storeBatch, behaved(), large).code).To(Equal(http.StatusCreated))
		for _, connection := range idle {
			status, body := responseOn(connection)
			Expect(status).To(Equal(http.StatusRequestTimeout), body)
			Expect(body).To(ContainSubstring("64 KiB a second"))
		}
		Expect(metricsOf(ctx, own.ManagementURL)).To(ContainSubstring(`kubernaut_memory_used_bytes{use="bodies"} 0`))
	}, SpecTimeout(specTimeout))

	It("field C3: uploads that hold most of DataStorage's memory give it back to a caller with less", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth, o.MaxBodyBytes, o.MaxBodyMemory = twoCallers(), 4<<20, 48<<20
		})
		// Each of them has sent all but its last byte, or as much as is read.
		part := "[" + strings.Repeat(" ", 4<<20-2)
		for range 12 {
			connection := request(ctx, own.URL, http.MethodPost, storeBatch, 4<<20, "")
			go func() { _, _ = io.WriteString(connection, part) }()
		}
		Eventually(ctx, func() string { return metricsOf(ctx, own.ManagementURL) }).Should(
			MatchRegexp(`kubernaut_memory_used_bytes\{use="bodies"\} [2-5]\.\d+e\+07`))
		id := env.CorrelationID()
		large := encode(someEvents(id, 5000))
		Expect(len(large)).To(BeNumerically(">", 1<<20))
		Expect(storeCall(ctx, own.URL, http.MethodPost, storeBatch, behaved(), large).code).To(Equal(http.StatusCreated))
	}, SpecTimeout(specTimeout))

	It("field C3: large bodies that arrive together are stored, although they do not fit into the memory together", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.MaxBodyBytes, o.MaxBodyMemory = 4<<20, 48<<20 })
		const bodies = 32
		id := env.CorrelationID()
		var group sync.WaitGroup
		answers := make(chan int, bodies)
		for range bodies {
			data := fields{"text": strings.Repeat("x", 900<<10)}
			body := encode([]fields{anEvent(id, fields{"event_data": data}), anEvent(id, fields{"event_data": data}), anEvent(id, fields{"event_data": data})})
			group.Go(func() {
				answer, err := tryStoreCall(ctx, own.URL, http.MethodPost, storeBatch, behaved(), body)
				if err == nil {
					answers <- answer.code
				}
			})
		}
		group.Wait()
		close(answers)
		stored := 0
		for code := range answers {
			if code == http.StatusCreated {
				stored++
			} else {
				Expect(code).To(Equal(http.StatusServiceUnavailable))
			}
		}
		Expect(stored).To(BeNumerically(">=", bodies/2))
	}, SpecTimeout(specTimeout))

	It("field C3: uploads to the Gateway that stall are cut off, and hold nothing that another sender needs", func(ctx SpecContext) {
		at, management := replica(ctx, func(o *gateway.Options) { o.Auth = twoCallers() })
		idle := make([]net.Conn, 0, idleUploads)
		for range idleUploads {
			idle = append(idle, request(ctx, at, http.MethodPost, alertmanager.Path, idleLength, `{"alerts":[`))
		}
		Expect(call(ctx, at, http.MethodPost, alertmanager.Path, behaved(), alertBody("firing", podAlert())).Code).To(Equal(http.StatusCreated))
		for _, connection := range idle {
			status, body := responseOn(connection)
			Expect(status).To(Equal(http.StatusServiceUnavailable), "Alertmanager repeats after 5xx only")
			Expect(body).To(ContainSubstring("64 KiB a second"))
		}
		Expect(metricsOf(ctx, management)).To(ContainSubstring(`kubernaut_memory_used_bytes{use="bodies"} 0`))
	}, SpecTimeout(specTimeout))

	It("field C18: bounds that do not fit into the memory together are refused, and metrics show those that do", func(ctx SpecContext) {
		for flag, change := range map[string]func(*datastorageapp.Options){
			"--writers":         func(o *datastorageapp.Options) { o.Writers = 8 },
			"--max-body-memory": func(o *datastorageapp.Options) { o.MaxBodyBytes = 256 << 20 },
			"--max-page-memory": func(o *datastorageapp.Options) { o.MaxPageBytes = 256 << 20 },
			"--memory-limit":    func(o *datastorageapp.Options) { o.MaxBodyMemory = 800 << 20 },
		} {
			o := datastorageapp.Options{DatabaseURL: "postgres://datastorage@127.0.0.1:5432/audit", MemoryLimit: 920 << 20}
			change(&o)
			_, err := datastorageapp.New(o)
			Expect(err).To(MatchError(ContainSubstring(flag)))
		}
		_, err := gateway.New(gateway.Options{DataStorageURL: env.DataStorage.URL, RESTConfig: env.Config, MemoryLimit: 460 << 20, MaxOpen: 100_000})
		Expect(err).To(MatchError(SatisfyAll(ContainSubstring("--memory-limit 482344960"), ContainSubstring("--max-open"), ContainSubstring("GOMEMLIMIT"))))

		own := ownStore(ctx, func(o *datastorageapp.Options) { o.MemoryLimit = 920 << 20 })
		Expect(metricsOf(ctx, own.ManagementURL)).To(SatisfyAll(
			ContainSubstring("kubernaut_memory_limit_bytes 9.6468992e+08"),
			MatchRegexp(`kubernaut_memory_bound_bytes\{use="bodies"\} 3.3\d+e\+08`),
			MatchRegexp(`kubernaut_memory_bound_bytes\{use="pages"\} 1.4\d+e\+08`),
			MatchRegexp(`kubernaut_memory_bound_bytes\{use="transactions"\} 2.8\d+e\+08`),
			ContainSubstring(`kubernaut_memory_used_bytes{use="transactions"} 0`),
		))
	}, SpecTimeout(specTimeout))

	It("field C4: a reader that does not read loses its connection, and others get their pages", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth = twoCallers() })
		id := env.CorrelationID()
		for range 2 { // a page of 16 MiB, more than the buffers of the connection
			events := make([]fields, 9)
			for i := range events {
				events[i] = anEvent(id, fields{"event_data": fields{"text": strings.Repeat("x", 1<<20-100)}})
			}
			Expect(storeCall(ctx, own.URL, http.MethodPost, storeBatch, behaved(), encode(events)).code).To(Equal(http.StatusCreated))
		}
		path := storeEvents + "?limit=1000&correlation_id=" + id
		const readers = 16
		idle := make([]net.Conn, 0, readers)
		for range readers {
			idle = append(idle, request(ctx, own.URL, http.MethodGet, path, 0, ""))
		}
		for range 2 {
			began := time.Now()
			answer := storeCall(ctx, own.URL, http.MethodGet, path, behaved(), nil)
			Expect(answer.code).To(Equal(http.StatusOK))
			Expect(len(answer.body)).To(BeNumerically(">", 15<<20))
			Expect(time.Since(began)).To(BeNumerically("<", specTimeout))
		}
		Eventually(ctx, func() string { return metricsOf(ctx, own.ManagementURL) }).Should(SatisfyAll(
			ContainSubstring(`kubernaut_memory_used_bytes{use="pages"} 0`),
			MatchRegexp(`datastorage_query_seconds_count\{kind="list",status="499"\} [1-9]`), // cut off while they read
		))
		for _, connection := range idle {
			_ = connection.Close()
		}
	}, SpecTimeout(specTimeout))
})
