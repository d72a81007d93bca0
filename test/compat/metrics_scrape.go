// A scrape of /metrics as a map of series, and what of it differs in netcd by intention.
package compat

import (
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"netcd.test/member"
)

// absentMetrics are etcd's metrics that have no counterpart in netcd: a name, or the beginning of names, and why.
var absentMetrics = map[string]string{
	"go_":                                   "the runtime of Go; netcd has none",
	"etcd_server_go_version":                "the same",
	"etcd_grpc_proxy_":                      "the gRPC proxy's, always 0 in a server",
	"etcd_debugging_store_":                 "the v2 store's, always 0 in etcd too",
	"etcd_debugging_snap_save_marshalling_": "a snapshot of netcd's log is a mark in the log, there is nothing to marshal",
	"etcd_debugging_disk_backend_commit_rebalance_": "bbolt's phase of a commit; LMDB rebalances as it deletes",
	"etcd_debugging_disk_backend_commit_spill_":     "bbolt's phase of a commit; LMDB splits as it puts",
}

// ownMetrics are netcd's alone.
var ownMetrics = []string{
	"netcd_batches_total", "netcd_batch_requests_total",
	"netcd_auth_cached_logins_total", "netcd_auth_delayed_logins_total", "netcd_auth_failed_logins_total",
	"netcd_tls_handshakes_total", "netcd_tls_handshake_failures_total", "netcd_tls_reload_failures_total",
	"netcd_certificate_expiry_seconds",
	"netcd_auth_hashings_total", "netcd_auth_refused_logins_total", "netcd_auth_tokens",
}

// absentLabels are values of labels that only etcd has: requests that are no entries of netcd's data plane.
var absentLabels = []string{`="Alarm"`, `="ClusterMemberAttrSet"`, `="ClusterVersionSet"`, `="DowngradeInfoSet"`, `="Auth`}

// scrape is one answer of /metrics.
type scrape map[string]*dto.MetricFamily

func scraped(t *testing.T, server *member.Member) scrape {
	t.Helper()
	client := &http.Client{Timeout: callWaitMax}
	answer, err := client.Get(server.ClientURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", server.Label, err)
	}
	return families
}

func absent(name string) bool {
	for prefix := range absentMetrics {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// shape is a family's type, the names of its labels and the bounds of its buckets.
func shape(family *dto.MetricFamily) string {
	shapes := map[string]bool{}
	for _, one := range family.Metric {
		var parts []string
		for _, label := range one.Label {
			parts = append(parts, label.GetName())
		}
		sort.Strings(parts)
		if histogram := one.GetHistogram(); histogram != nil {
			for _, bucket := range histogram.Bucket {
				parts = append(parts, fmt.Sprint(bucket.GetUpperBound()))
			}
		}
		shapes[strings.Join(parts, " ")] = true
	}
	var all []string
	for each := range shapes {
		all = append(all, each)
	}
	sort.Strings(all)
	return fmt.Sprintf("%s %q", family.GetType(), all)
}

// values are a family's series by their labels without those named: values, or counts of histograms, added up.
func (s scrape) values(name string, without ...string) map[string]float64 {
	values := map[string]float64{}
	family := s[name]
	if family == nil {
		return values
	}
	for _, one := range family.Metric {
		var labels []string
		for _, label := range one.Label {
			if !slices.Contains(without, label.GetName()) {
				labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
			}
		}
		sort.Strings(labels)
		key := strings.Join(labels, ",")
		if slices.ContainsFunc(absentLabels, func(part string) bool { return strings.Contains(key, part) }) {
			continue
		}
		value := one.GetCounter().GetValue() + one.GetGauge().GetValue()
		if histogram := one.GetHistogram(); histogram != nil {
			value = float64(histogram.GetSampleCount())
		}
		if value != 0 {
			values[key] += value
		}
	}
	return values
}

func (s scrape) value(name string) float64 {
	var sum float64
	for _, each := range s.values(name) {
		sum += each
	}
	return sum
}

// compareShapes compares names, types, labels and buckets of two scrapes.
func (p *pair) compareShapes(ours, theirs scrape) {
	p.t.Helper()
	for name, family := range theirs {
		if absent(name) {
			if ours[name] != nil {
				p.t.Errorf("%s is said to be absent, but netcd has it", name)
			}
			continue
		}
		p.compared++
		if ours[name] == nil {
			p.differ(name, "is missing", family.GetType().String())
		} else if our, their := shape(ours[name]), shape(family); our != their {
			p.differ(name, our, their)
		}
	}
	for name, family := range ours {
		if theirs[name] == nil && !slices.Contains(ownMetrics, name) {
			p.differ(name, family.GetType().String(), "is missing")
		}
	}
}
