package asking_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/hub/asking"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
	"github.com/usage-operator/usage-operator/test/postgres"
)

const window = `"startingOn":"2026-11-21T15:00:00Z","endingBefore":"2026-11-21T18:00:00Z"`

// small is a hub with two clusters: in both the namespace shop holds something from 16:00 on; eu-1 meters since 12:00,
// and us-1 since 17:00. A third one is not metered.
func small(t *testing.T) *world {
	t.Helper()
	server := postgres.Start(t)
	w := newWorld(t, database(t, server))
	t.Cleanup(w.store.Close)
	for i, since := range []int64{hour0 - 6*hour, hour0 - hour} {
		c := w.add(t, []string{"eu-1", "us-1"}[i])
		changes := []usage.Change{
			holds("vm-"+c.name, "shop", "web", vcpu, 1000, max(since, hour0-2*hour), 0),
			holds("bank-"+c.name, "bank", "web", vcpu, 4000, hour0-hour, 0),
		}
		for j := range changes {
			changes[j].Subject.NamespaceUID += "-" + c.name
		}
		c.commit(t, &journal.Batch{Time: hour0, Meters: meters(since), Changes: changes})
		c.send(t, w)
	}
	w.reader("all", asking.Grant{Clusters: []string{"*"}})
	w.reader("eu", asking.Grant{Clusters: []string{"eu-1"}})
	w.reader("shop", asking.Grant{Clusters: []string{"*"}, Namespaces: []string{"shop"}})
	w.reader("nothing")
	w.fleet.Customers = []asking.Customer{
		{Name: "acme", Namespaces: []asking.InClusters{{Clusters: []string{"*"}, Names: []string{"shop"}}}},
		{Name: "bank of eu", Namespaces: []asking.InClusters{{Clusters: []string{"eu-1"}, Names: []string{"bank"}}}},
		{Name: "idle", Namespaces: []asking.InClusters{{Clusters: []string{"eu-1"}, Names: []string{"idle"}}}},
	}
	return w
}

// lines are a report's rows in short.
func lines(r *wire.FleetReport) string {
	var out []string
	for _, row := range r.Rows {
		delete(row.Group, "clusterUID")
		delete(row.Group, "namespaceUID")
		group, _ := json.Marshal(row.Group)
		exact := row.Exact
		if exact == "" {
			exact = "unknown"
		}
		line := fmt.Sprintf("%s %s %s %s", row.StartTime.UTC().Format("15:04"), group, exact, row.Accuracy)
		if row.Since != "" {
			line += " since:" + string(row.Since)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestFiguresOverTheFleet(t *testing.T) {
	w := small(t)
	for _, test := range []struct{ name, reader, spec, want string }{
		{"by cluster", "all", `"groupBy":["cluster"]`,
			`15:00 {"cluster":"eu-1","dimension":"vcpu"} 21600000 Exact` + "\n" + `15:00 {"cluster":"us-1","dimension":"vcpu"} 18000000 Partial since:Exact`},
		{"the sum says what one does not know", "all", `"groupBy":[]`, `15:00 {"dimension":"vcpu"} 39600000 Partial since:Exact`},
		{"an hour of which one knows nothing", "all", `"groupBy":[],"windowSize":"hour"`,
			`15:00 {"dimension":"vcpu"} unknown Partial since:Exact` + "\n" +
				`16:00 {"dimension":"vcpu"} 3600000 Partial since:Exact` + "\n" + `17:00 {"dimension":"vcpu"} 36000000 Exact`},
		{"by customer", "all", `"groupBy":["customer"]`,
			`15:00 {"customer":"","dimension":"vcpu"} 14400000 Partial since:Exact` + "\n" +
				`15:00 {"customer":"acme","dimension":"vcpu"} 10800000 Partial since:Exact` + "\n" +
				`15:00 {"customer":"bank of eu","dimension":"vcpu"} 14400000 Exact`},
		{"of a customer, by cluster", "all", `"groupBy":["customer","cluster"],"filters":{"customers":["acme"]}`,
			`15:00 {"cluster":"eu-1","customer":"acme","dimension":"vcpu"} 7200000 Exact` + "\n" +
				`15:00 {"cluster":"us-1","customer":"acme","dimension":"vcpu"} 3600000 Partial since:Exact`},
		{"namespaces of one name are two", "all", `"groupBy":["namespace"],"filters":{"namespaces":["shop"]}`,
			`15:00 {"dimension":"vcpu","namespace":"shop"} 7200000 Exact` + "\n" + `15:00 {"dimension":"vcpu","namespace":"shop"} 3600000 Partial since:Exact`},
		{"one cluster's reader", "eu", `"groupBy":["cluster","namespace"]`,
			`15:00 {"cluster":"eu-1","dimension":"vcpu","namespace":"bank"} 14400000 Exact` + "\n" + `15:00 {"cluster":"eu-1","dimension":"vcpu","namespace":"shop"} 7200000 Exact`},
		{"one cluster's reader sees no more by leaving the key out", "eu", `"groupBy":[]`, `15:00 {"dimension":"vcpu"} 21600000 Exact`},
		{"one namespace's reader", "shop", `"groupBy":["cluster"],"filters":{"clusters":["us-1"]}`, `15:00 {"cluster":"us-1","dimension":"vcpu"} 3600000 Partial since:Exact`},
	} {
		if got := lines(w.report(t, test.reader, `{`+window+`,`+test.spec+`}`)); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

// Zero, unknown, not visible and no such name are four answers.
func TestFourAnswersOverTheFleet(t *testing.T) {
	w := small(t)
	zero := w.report(t, "all", `{"startingOn":"2026-11-21T13:00:00Z","endingBefore":"2026-11-21T15:00:00Z","groupBy":["cluster"],"filters":{"clusters":["eu-1"]}}`)
	if len(zero.Rows) != 0 || zero.Summary != "nothing was used" || zero.Coverage.UnknownSeconds != 0 || len(zero.Clusters) != 1 || zero.Clusters[0].Coverage != "100" {
		t.Errorf("zero: %+v", zero)
	}
	idle := w.report(t, "all", `{`+window+`,"filters":{"customers":["idle"]}}`)
	if len(idle.Rows) != 0 || idle.Summary != "nothing was used" {
		t.Errorf("a customer who used nothing: %+v", idle)
	}
	unknown := w.report(t, "all", `{"startingOn":"2026-11-21T13:00:00Z","endingBefore":"2026-11-21T15:00:00Z","groupBy":["cluster"],"filters":{"clusters":["us-1"]}}`)
	if lines(unknown) != `13:00 {"cluster":"us-1","dimension":""} unknown Partial since:Exact` || !strings.HasPrefix(unknown.Summary, "it is unknown") {
		t.Errorf("unknown: %s %+v", lines(unknown), unknown.Summary)
	}
	for _, test := range []struct{ reader, spec, want string }{
		{"", `{` + window + `}`, "401 unauthorized: who asks is not known"},
		{"nobody", `{` + window + `}`, "401 unauthorized: who asks is not known"},
		{"nothing", `{` + window + `}`, `403 forbidden: reader "nothing" may see nothing`},
		{"eu", `{` + window + `,"filters":{"clusters":["us-1"]}}`, `403 forbidden: clusters: reader "eu" may see no cluster "us-1", if there is one`},
		{"eu", `{` + window + `,"filters":{"clusters":["us-7"]}}`, `403 forbidden: clusters: reader "eu" may see no cluster "us-7", if there is one`},
		{"eu", `{` + window + `,"filters":{"namespaces":["shopp"]}}`, `404 no_such_name: namespaces: there is no namespace "shopp": did you mean "shop"?`},
		{"shop", `{` + window + `,"filters":{"namespaces":["bank"]}}`, `403 forbidden: namespaces: reader "shop" may see no namespace "bank", if there is one`},
		{"shop", `{` + window + `,"filters":{"customers":["bank of eu"]}}`, `403 forbidden: customers: reader "shop" may see no customer "bank of eu"`},
		{"all", `{` + window + `,"filters":{"clusters":["us-2"]}}`, `404 no_such_name: clusters: there is no cluster "us-2": did you mean "us-1"?`},
		{"all", `{` + window + `,"filters":{"customers":["acne"]}}`, `404 no_such_name: customers: there is no customer "acne": did you mean "acme"?`},
		{"all", `{` + window + `,"filters":{"deployments":["wep"]}}`, `400 no_such_name: deployment: nothing was ever recorded under a deployment "wep": did you mean "web"?`},
		{"all", `{` + window + `,"groupBy":["attribute:klass"]}`, `400 no_such_name: attribute: nothing was ever recorded under an attribute "klass"`},
		{"all", `{` + window + `,"groupBy":["clusters"]}`, `400 bad_request: groupBy: key "clusters": want one of`},
		{"all", `{` + window + `,"filters":{"namespaceSelector":{}}}`, `400 bad_request: filters.namespaceSelector: a hub does not know the labels`},
		{"all", `{` + window + `,"filter":{}}`, `400 bad_request: the body is not the JSON object`},
	} {
		if got := w.refusal(test.reader, test.spec); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s %s:\n%s\nwant %s", test.reader, test.spec, got, test.want)
		}
	}
}

// What a reader may see of a cluster's own usage API is what he may see of its reports.
func TestAReaderSeesOneClusterAlone(t *testing.T) {
	w := small(t)
	body := `{` + window + `,"groupBy":["namespace"]}`
	for _, test := range []struct {
		reader, cluster string
		status          int
		has, lacks      string
	}{
		{"all", "us-1", http.StatusOK, "bank", "nothing"},
		{"all", string(w.all[1].uid), http.StatusOK, "bank", "nothing"},
		{"all", "us-2", http.StatusNotFound, wire.NoSuchName, "rows"},
		{"eu", "eu-1", http.StatusOK, "bank", "us-1"},
		{"eu", "us-1", http.StatusForbidden, "forbidden", "rows"},
		{"shop", "eu-1", http.StatusOK, "shop", "bank"},
		{"nothing", "eu-1", http.StatusForbidden, "forbidden", "rows"},
		{"nobody", "eu-1", http.StatusUnauthorized, "unauthorized", "rows"},
	} {
		got := request(w.hub, "POST", "/clusters/"+test.cluster+"/v1alpha1/report", test.reader, body)
		if got.status != test.status || !strings.Contains(got.body, test.has) || strings.Contains(got.body, test.lacks) {
			t.Errorf("%s of %s: %d %s", test.reader, test.cluster, got.status, got.body)
		}
	}
	if got := request(w.hub, "GET", "/v1alpha1/clusters", "eu", ""); strings.Contains(got.body, "us-1") || !strings.Contains(got.body, `"known":"2026-11-21T18:00:00Z"`) {
		t.Errorf("the clusters: %s", got.body)
	}
	// One whom the file does not name any more is nobody at once.
	w.fleet = &asking.Fleet{}
	if got := request(w.hub, "GET", "/v1alpha1/clusters", "all", ""); got.status != http.StatusUnauthorized {
		t.Errorf("one who was a reader: %d %s", got.status, got.body)
	}
}

// A namespace that was created again is another tenant's: its reader does not see the one before.
func TestAReaderSeesTheNamespaceThatThereIs(t *testing.T) {
	w := small(t)
	again := holds("new", "shop", "web", vcpu, 1, hour0, 0)
	again.Subject.NamespaceUID = "uid-again"
	w.all[0].commit(t, &journal.Batch{Time: hour0 + 60, Changes: []usage.Change{again}})
	w.all[0].send(t, w)
	w.clock.SetTime(time.Unix(hour0+60, 0))
	spec := `{"startingOn":"2026-11-21T15:00:00Z","endingBefore":"2026-11-21T19:00:00Z","groupBy":["namespace"],"filters":{"clusters":["eu-1"]}}`
	if got := lines(w.report(t, "shop", spec)); got != `15:00 {"dimension":"vcpu","namespace":"shop"} 60 Exact` {
		t.Errorf("the reader of shop: %s", got)
	}
	if got := w.report(t, "eu", spec); len(got.Rows) != 3 {
		t.Errorf("the cluster's reader: %s", lines(got))
	}
}

// A cluster that is not heard of for a while does not make sums that look whole.
func TestAClusterThatIsBehind(t *testing.T) {
	w := small(t)
	w.all[0].commit(t, &journal.Batch{Time: hour0 + hour})
	w.all[0].send(t, w)
	w.clock.SetTime(time.Unix(hour0+hour, 0))
	spec := `"startingOn":"2026-11-21T17:30:00Z","endingBefore":"2026-11-21T19:00:00Z"`
	got := w.report(t, "all", `{`+spec+`,"groupBy":["cluster"]}`)
	if want := `17:30 {"cluster":"eu-1","dimension":"vcpu"} 27000000 Exact` + "\n" + `17:30 {"cluster":"us-1","dimension":"vcpu"} 9000000 Exact`; lines(got) != want {
		t.Errorf("each as its operator says:\n%s", lines(got))
	}
	if c := got.Clusters[1]; !c.Behind || c.Known != "2026-11-21T18:00:00Z" || c.Coverage != "33.33" || got.Clusters[0].Behind {
		t.Errorf("how far they are: %+v", got.Clusters)
	}
	if got := w.report(t, "all", `{`+spec+`}`); lines(got) != `17:30 {"dimension":"vcpu"} 36000000 Partial` {
		t.Errorf("the sum: %s", lines(got))
	}
}

// Pages, one after the other, are all rows, whether the report is kept between them or not; and the top ones are the
// largest.
func TestPagesAndTop(t *testing.T) {
	w := small(t)
	spec := window + `,"groupBy":["cluster","namespace"],"windowSize":"hour"`
	want := lines(w.report(t, "all", `{`+spec+`}`))
	for _, kept := range []bool{true, false} {
		var got []string
		for from := ""; ; {
			page := w.report(t, "all", fmt.Sprintf(`{%s,"limit":2,"startFrom":%q}`, spec, from))
			got = append(got, lines(page))
			if from = page.NextPage; from == "" {
				break
			}
			if !kept {
				w.ask(1_000_000)
			}
		}
		if all := strings.Join(got, "\n"); all != want || len(got) < 2 {
			t.Errorf("kept %t: %d pages\n%s\nwant\n%s", kept, len(got), all, want)
		}
	}
	next := w.report(t, "all", `{`+spec+`,"limit":2}`).NextPage
	if got := w.refusal("eu", fmt.Sprintf(`{%s,"limit":2,"startFrom":%q}`, spec, next)); !strings.HasPrefix(got, "400 bad_request: startFrom") {
		t.Errorf("another reader's page: %s", got)
	}
	var top wire.FleetReport
	got := request(w.hub, "POST", "/v1alpha1/report?top=1", "all", `{`+window+`,"groupBy":["cluster","namespace","resourceType"]}`)
	if err := json.Unmarshal([]byte(got.body), &top); err != nil || len(top.Rows) != 1 || top.Rows[0].Exact != "14400000" || len(top.Others) != 1 || top.Others[0].Exact != "25200000" || *top.RowCount != 4 {
		t.Errorf("top: %v %s", err, got.body)
	}
}

// A ledger that is larger than what may be kept is refused by name, and a database that was restored, or in which a
// cluster began anew, is read anew.
func TestWhatIsKeptOfALedger(t *testing.T) {
	w := small(t)
	w.ask(1)
	if got := w.refusal("all", `{`+window+`}`); !strings.HasPrefix(got, "503 too_large: the ledger of "+string(w.all[0].uid)) {
		t.Errorf("too large: %s", got)
	}
	w.ask(1_000_000)
	w.report(t, "all", `{`+window+`}`)
	connection, err := pgx.Connect(t.Context(), w.location)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(t.Context())
	for _, table := range []string{"coverage", "seals", "segments", "subjects", "blocks", "credentials", "clusters"} {
		if _, err := connection.Exec(t.Context(), "DELETE FROM "+table+" WHERE cluster = $1", w.all[0].uid); err != nil {
			t.Fatal(err)
		}
	}
	again := w.add(t, "eu-1")
	if _, err := connection.Exec(t.Context(), "UPDATE clusters SET cluster = $1 WHERE cluster = $2", w.all[0].uid, again.uid); err != nil {
		t.Fatal(err)
	}
	other := journal.New(journal.Options{
		Store: again.blocks, Writer: "eu-1", Cluster: string(w.all[0].uid), Clock: clocktesting.NewFakeClock(w.clock.Now()), Log: logr.Discard(),
	})
	if _, err := other.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	again.uid, again.journal = w.all[0].uid, other
	again.commit(t, &journal.Batch{Time: hour0, Meters: meters(hour0 - 6*hour), Changes: []usage.Change{holds("other", "shop", "web", vcpu, 1, hour0-hour, 0)}})
	again.send(t, w)
	if got := lines(w.report(t, "eu", `{`+window+`}`)); got != `15:00 {"dimension":"vcpu"} 3600 Exact` {
		t.Errorf("another chain: %s", got)
	}
}
