package alerts_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// send sends a notification about alerts with these labels, with a token if there is one.
func send(ctx context.Context, g *service, token, status string, labels ...map[string]string) alertmanager.Answer {
	GinkgoHelper()
	body, err := alertmanager.Body(status, labels...)
	Expect(err).NotTo(HaveOccurred())
	header := alertmanager.JSON()
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	answer, err := alertmanager.Call{URL: g.url, Method: http.MethodPost, Path: alertmanager.Path, Header: header, Body: body, RequestID: testenv.Unique("alerts-*")}.Do(ctx)
	Expect(err).NotTo(HaveOccurred())
	return answer
}

// problem returns the labels of an alert that no other alert is about.
func (s *siteState) problem() map[string]string {
	name := testenv.Unique("pod-*")
	return map[string]string{"alertname": "KubePodCrashLooping", "namespace": s.namespace, "pod": name, "severity": "warning"}
}

// quietProblems are how many problems a healthy site has.
const quietProblems = 8

// signal sends one of a few alerts to the first Gateway, as Alertmanager repeats them.
func (s *siteState) signal(ctx context.Context) {
	GinkgoHelper()
	g := s.first(gatewayName)
	labels := map[string]string{
		"alertname": "KubePodCrashLooping", "namespace": s.namespace, "pod": fmt.Sprintf("pod-%d", s.sent%quietProblems), "severity": "warning",
	}
	s.sent++
	answer := send(ctx, g, s.token, alertmanager.Firing, labels)
	Expect(answer.Code).To(BeElementOf(http.StatusOK, http.StatusCreated), "%+v", answer)
}

func (s *siteState) first(name string) *service {
	GinkgoHelper()
	for _, one := range s.services {
		if one.name == name {
			return one
		}
	}
	Fail("no " + name)
	return nil
}

// ask calls a service and returns the status of its answer.
func ask(ctx context.Context, method, url, token string) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}

// tokenLine is a line of a token file.
func tokenLine(caller, token string, grants ...string) string {
	digest := sha256.Sum256([]byte(token))
	return caller + " " + hex.EncodeToString(digest[:]) + " " + strings.Join(grants, " ") + "\n"
}

// file makes a file with a text.
func file(text string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "file")
	rewrite(path, text)
	return path
}

// rewrite replaces a file as its writers do.
func rewrite(path, text string) {
	GinkgoHelper()
	Expect(os.WriteFile(path+".new", []byte(text), 0o600)).To(Succeed())
	Expect(os.Rename(path+".new", path)).To(Succeed())
}

// sample is the value of a metric of a service.
func (s *service) sample(ctx context.Context, series string) float64 {
	GinkgoHelper()
	text, _, err := s.scraped.read(ctx)
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(text)) {
		if v, found := strings.CutPrefix(line, series+" "); found {
			number, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			Expect(err).NotTo(HaveOccurred())
			return number
		}
	}
	Fail("no metric " + series)
	return 0
}

// awaitSample waits until a metric of a service is above a value.
func (s *service) awaitSample(ctx context.Context, series string, above float64) {
	GinkgoHelper()
	Eventually(ctx, func() float64 { return s.sample(ctx, series) }).WithTimeout(time.Minute).Should(BeNumerically(">", above), series)
}

// awaitShown waits until a series has a value; it may be missing before.
func (s *service) awaitShown(ctx context.Context, series, value string) {
	GinkgoHelper()
	Eventually(ctx, func() (string, error) {
		text, _, err := s.scraped.read(ctx)
		return string(text), err
	}).WithTimeout(time.Minute).Should(ContainSubstring(series + " " + value + "\n"))
}
