package asking_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/hub/asking"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// writer draws what an operator writes, hour by hour.
type writer struct {
	*cluster
	t    *rapid.T
	open map[string]usage.Change // by resource and dimension
	made int
	hour int64
	// metered tells that the meter is written: once, since what one of old versions redefined is lost in merged blocks.
	metered bool
}

func newWriter(t *rapid.T, c *cluster) *writer {
	return &writer{cluster: c, t: t, open: map[string]usage.Change{}, hour: hour0 - 6*hour}
}

func (w *writer) draw(what string, least, most int64) int64 {
	return rapid.Int64Range(least, most).Draw(w.t, what)
}

// write writes an hour: what begins, ends, is void, is corrected, was not seen, and at last the seal.
func (w *writer) write() {
	interval := usage.Window{Start: w.hour, End: w.hour + hour}
	for range w.draw("entries", 1, 3) {
		b := &journal.Batch{Time: w.hour + w.draw("at", 0, hour-1)}
		if !w.metered {
			w.metered, b.Meters = true, meters(w.hour-w.draw("before", 0, 2*hour))
		}
		for range w.draw("begin", 0, 3) {
			w.made++
			d := vcpu
			if w.draw("dimension", 0, 1) == 0 {
				d = memory
			}
			namespace := []string{"shop", "bank", "shop-dev"}[w.draw("namespace", 0, 2)]
			c := holds(fmt.Sprint(w.name, "-", w.made), namespace, []string{"", "web", "db"}[w.draw("deployment", 0, 2)], d, w.draw("level", 1, 1<<40), w.hour+w.draw("start", 0, hour-1), 0)
			w.open[c.Subject.Resource.Name] = c
			b.Changes = append(b.Changes, c)
		}
		for _, name := range sortedKeys(w.open) {
			c := w.open[name]
			switch w.draw("then", 0, 5) {
			case 0:
				c.End = usage.Boundary{At: max(c.Start.At+1, w.hour+w.draw("end", 0, hour)), Slack: uint32(w.draw("slack", 0, 20)), Evidence: usage.ReplayBound}
				b.Changes = append(b.Changes, c)
				delete(w.open, name)
			case 1:
				if c.Start.At >= w.hour {
					c.Kind = usage.Void
					b.Changes = append(b.Changes, c)
					delete(w.open, name)
				}
			}
		}
		if w.draw("unseen", 0, 5) == 0 {
			from := w.hour + w.draw("from", 0, hour-2)
			b.Coverage = []usage.Stretch{{Meter: "vm", Window: usage.Window{Start: from, End: from + w.draw("for", 1, hour/2)}, Coverage: usage.Coverage(w.draw("coverage", int64(usage.CoverageReplayed), int64(usage.CoverageUnknown)))}}
		}
		if w.made > 0 && w.hour > hour0-5*hour && w.draw("correct", 0, 3) == 0 {
			c := holds(fmt.Sprint(w.name, "-", w.made), "shop", "web", vcpu, 1, w.hour-hour, w.hour-hour+60)
			c.Kind, c.Corrects = usage.More, w.hour-hour
			b.Changes = append(b.Changes, c)
		}
		w.commit(w.t, b)
	}
	w.commit(w.t, &journal.Batch{Time: interval.End, Seals: []journal.Seal{{Interval: interval, Digest: journal.Digest{byte(w.hour / hour)}}}})
	w.hour += hour
}

func sortedKeys[T any](of map[string]T) (keys []string) {
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// asks are requests that an operator answers, and the hub for it. There is no name of a deployment in them: under which
// something was, and is void, one that has read it knows, and one that has read merged blocks does not.
func asks() []string {
	window := `"startingOn":"2026-11-21T10:30:00Z","endingBefore":"2026-11-22T00:00:00Z"`
	return []string{
		`POST /v1alpha1/report {` + window + `}`,
		`POST /v1alpha1/report {` + window + `,"windowSize":"hour","groupBy":["namespace","deployment","resourceType"]}`,
		`POST /v1alpha1/report {` + window + `,"windowSize":"hour","groupBy":["resource","attribute:class"],"zeros":"Fill","limit":1000}`,
		`POST /v1alpha1/report?top=2 {` + window + `,"groupBy":["namespace","resource","resourceType"]}`,
		`POST /v1alpha1/report {` + window + `,"filters":{"dimensions":["vcpu"]},"groupBy":["instance"]}`,
		`POST /v1alpha1/series {` + window + `,"windowSize":"hour","groupBy":["namespace"]}`,
		`GET /v1alpha1/status`, `GET /v1alpha1/resources?from=2026-11-21T10:30:00Z&to=2026-11-22T00:00:00Z`,
		`GET /v1/usage?from=2026-11-21T10:30:00Z&to=2026-11-22T00:00:00Z`,
	}
}

// Whatever clusters write, however it is merged before it is sent, and whenever it is asked: the hub answers of each
// what its operator answers, byte for byte, and its reports over all of them are those figures, and their sums.
func TestTheHubSaysWhatTheClustersSay(t *testing.T) {
	server := postgres.Start(t)
	location := database(t, server)
	fewer(t)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, location)
		defer w.store.Close()
		w.ask(int(rapid.Int64Range(1, 2).Draw(t, "segments")) * 500) // one or two ledgers in memory
		var writers []*writer
		for i := range 3 {
			writers = append(writers, newWriter(t, w.add(t, fmt.Sprintf("c%d-%d", i, numbers.Add(1)))))
		}
		clusters := []string{}
		for _, c := range writers {
			clusters = append(clusters, c.name)
		}
		w.reader("finance", asking.Grant{Clusters: clusters})
		for range rapid.IntRange(1, 5).Draw(t, "hours") {
			for _, c := range writers {
				c.write()
				if c.draw("merge", 0, 3) == 0 {
					if _, err := c.journal.Compact(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				if c.draw("send", 0, 1) == 0 {
					c.send(t, w)
				}
			}
			if rapid.Bool().Draw(t, "ask") { // the ledgers go on from there
				w.report(t, "finance", `{"period":{"unit":"day"}}`)
			}
		}
		for _, c := range writers {
			c.send(t, w)
		}
		w.clock.SetTime(time.Unix(writers[0].hour+60, 0))
		for _, c := range writers {
			for _, ask := range asks() {
				method, rest, _ := strings.Cut(ask, " ")
				path, body, _ := strings.Cut(rest, " ")
				own, theirs := request(c.own, method, path, "x", body), request(w.hub, method, "/clusters/"+c.name+path, "finance", body)
				if withoutPins(own.body) != withoutPins(theirs.body) || own.status != theirs.status {
					t.Fatalf("%s of %s:\noperator %d %s\nhub      %d %s", ask, c.name, own.status, own.body, theirs.status, theirs.body)
				}
			}
		}
		compareSums(t, w, writers)
	})
}

// fewer has a draw be done ten times by default, and not a hundred: each asks some hundred questions.
func fewer(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != checks.DefValue {
		return
	}
	if err := checks.Value.Set("10"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
}

// withoutPins leaves out the cursors: they have random names in them.
func withoutPins(body string) string {
	var fields map[string]any
	if json.Unmarshal([]byte(body), &fields) != nil {
		return body
	}
	for _, name := range []string{"nextPage", "next"} {
		if fields[name] != nil {
			fields[name] = "there is one"
		}
	}
	text, _ := json.Marshal(fields)
	return string(text)
}

// compareSums compares reports over the fleet with those of the clusters.
func compareSums(t *rapid.T, w *world, writers []*writer) {
	window := `"startingOn":"2026-11-21T10:30:00Z","endingBefore":"2026-11-22T00:00:00Z","limit":1000`
	for _, by := range []string{`[]`, `["namespace"]`, `["deployment","resourceType"]`, `["resource"]`} {
		for _, size := range []string{"none", "hour"} {
			spec := window + `,"windowSize":"` + size + `"`
			sums := map[string]*big.Int{}
			fleet := w.report(t, "finance", `{`+spec+`,"groupBy":`+strings.Replace(strings.Replace(by, "[", `["cluster",`, 1), ",]", "]", 1)+`}`)
			found := 0
			for _, c := range writers {
				found += compareCluster(t, c, fleet.Rows, `{`+spec+`,"groupBy":`+by+`}`, sums)
			}
			if found != len(fleet.Rows) {
				t.Fatalf("by %s: %d rows are of no cluster", by, len(fleet.Rows)-found)
			}
			for _, row := range w.report(t, "finance", `{`+spec+`,"groupBy":`+by+`}`).Rows {
				key := keyOf(row)
				if want := sums[key]; row.Exact != "" && (want == nil || want.String() != row.Exact) {
					t.Fatalf("by %s: %s is %s, and the clusters' sum is %v", by, key, row.Exact, want)
				}
				delete(sums, key)
			}
			for key, sum := range sums {
				t.Fatalf("by %s: the clusters have %s of %s, and the hub has no row", by, sum, key)
			}
		}
	}
}

// compareCluster compares a cluster's rows of a report over the fleet with its own, adds these up, and returns how many
// they are.
func compareCluster(t *rapid.T, c *writer, rows []wire.Row, spec string, sums map[string]*big.Int) int {
	got := request(c.own, "POST", "/v1alpha1/report", "x", spec)
	var own wire.Report
	if err := json.Unmarshal([]byte(got.body), &own); err != nil {
		t.Fatal(err)
	}
	var theirs []wire.Row
	for _, row := range rows {
		if string(row.Group["cluster"]) == c.name {
			delete(row.Group, "cluster")
			delete(row.Group, "clusterUID")
			theirs = append(theirs, row)
		}
	}
	a, _ := json.Marshal(own.Rows)
	b, _ := json.Marshal(theirs)
	if len(own.Rows)+len(theirs) > 0 && string(a) != string(b) {
		t.Fatalf("%s of %s:\noperator %s\nhub      %s", spec, c.name, a, b)
	}
	for _, row := range own.Rows {
		if n, ok := new(big.Int).SetString(row.Exact, 10); ok {
			key := keyOf(row)
			if sums[key] == nil {
				sums[key] = new(big.Int)
			}
			sums[key].Add(sums[key], n)
		}
	}
	return len(theirs)
}

func keyOf(row wire.Row) string {
	group, _ := json.Marshal(row.Group)
	return row.StartTime.String() + string(group) + row.ExactUnit
}
