package demo

import (
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestANotificationIsAboutItsPod(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "checkout-1", UID: "u-1"}}
	began := time.Date(2026, 11, 23, 9, 35, 44, 1, time.UTC)
	a := alertAbout(pod, began)
	for _, want := range []struct {
		status, endsAt, reason string
	}{
		{"firing", "0001-01-01T00:00:00Z", "first notification"},
		{"resolved", "2026-11-23T09:35:45.000000001Z", ""},
	} {
		if want.status == "resolved" {
			a.end(began.Add(time.Second))
		}
		body, err := a.body()
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Status string `json:"status"`
			Reason string `json:"notification_reason"`
			Alerts []struct {
				Status      string            `json:"status"`
				StartsAt    string            `json:"startsAt"`
				EndsAt      string            `json:"endsAt"`
				Labels      map[string]string `json:"labels"`
				Fingerprint string            `json:"fingerprint"`
			} `json:"alerts"`
			CommonLabels map[string]string `json:"commonLabels"`
		}
		if err := json.Unmarshal(body, &got); err != nil || len(got.Alerts) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		one := got.Alerts[0]
		if got.Status != want.status || one.Status != want.status || got.Reason != want.reason ||
			one.StartsAt != "2026-11-23T09:35:44.000000001Z" || one.EndsAt != want.endsAt {
			t.Errorf("%s: got %+v", want.status, got)
		}
		if one.Labels["pod"] != pod.Name || one.Labels["uid"] != string(pod.UID) || got.CommonLabels["pod"] != pod.Name || len(one.Fingerprint) != 16 {
			t.Errorf("%s: got %+v", want.status, got)
		}
	}
}
