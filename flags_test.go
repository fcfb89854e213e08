package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestFlags(t *testing.T) {
	cases := map[string]struct {
		args string
		want string // a part of the error; empty: there is none
	}{
		"none":                               {},
		"all that are times, at their least": {args: "--interval=1m --record-retention=1m --flush-interval=1s --seal-timeout=10s --check-interval=0 --live-refresh=0"},
		"an interval that divides no hour":   {args: "--interval=7m", want: "--interval: "},
		"a retention below the interval":     {args: "--record-retention=30m", want: "--record-retention=30m0s: want at least one interval, 1h0m0s"},
		"a flush too often":                  {args: "--flush-interval=100ms", want: "--flush-interval=100ms: want at least 1s"},
		"a timeout too short":                {args: "--seal-timeout=1s", want: "--seal-timeout=1s: want at least 10s"},
		"a check too often":                  {args: "--check-interval=10ms", want: "--check-interval=10ms: want 0, or at least 1s"},
		"a refresh below 0":                  {args: "--live-refresh=-1m", want: "--live-refresh=-1m0s: want 0, or at least 1s"},
		"nobody to publish":                  {args: "--publish-concurrency=0", want: "--publish-concurrency=0: want at least 1"},
		"another format":                     {args: "--log-format=xml", want: "--log-format=xml: want json or console"},
		"another level":                      {args: "--log-level=loud", want: "--log-level=loud: want debug, info or error"},
		"nobody may ask":                     {args: "--usage-api-requests-per-second=0", want: "--usage-api-requests-per-second=0: want more than 0"},
		"no memory to answer":                {args: "--usage-api-memory=1Mi", want: "--usage-api-memory=1Mi: want at least 32Mi"},
		"nobody connects":                    {args: "--usage-api-connections=0", want: "--usage-api-connections=0: want at least 2"},
		"nothing is served":                  {args: "--serve-only --usage-api-bind-address=0", want: "--usage-api-bind-address=0: want an address"},
		"fewer than no series":               {args: "--usage-metrics-series=-1", want: "--usage-metrics-series=-1: want 0, or more"},
		"no selector":                        {args: "--usage-metrics-namespaces=a=b=c", want: "usage-metrics-namespaces"},
		"metrics of usage":                   {args: "--usage-metrics-series=0 --usage-metrics-namespaces=team,env!=test --usage-metrics-deployments"},
		"budgets":                            {args: "--record-budget=0 --journal-budget=2Gi"},
		"a budget below 0":                   {args: "--record-budget=-1Mi", want: "want bytes, such as 512Mi, or 0"},
		"a budget of words":                  {args: "--journal-budget=much", want: "want bytes, such as 512Mi, or 0"},
		"kinds of owners":                    {args: "--owner-kinds=Rollout.argoproj.io,Set.apps.example.com --owner-kinds=PodSet"},
		"a resource in a kind's place":       {args: "--owner-kinds=rollouts.argoproj.io", want: `"rollouts.argoproj.io": want kinds, such as Rollout.argoproj.io`},
		"an argument":                        {args: "run", want: `unknown argument "run": there are flags only`},
		"a lease as long as its deadline":    {args: "--leader-elect-lease-duration=10s", want: "--leader-elect-lease-duration=10s: want more than --leader-elect-renew-deadline, 10s"},
		"a deadline of one try":              {args: "--leader-elect-retry-period=9s", want: "--leader-elect-renew-deadline=10s: want more than 10.8s, 1.2 times --leader-elect-retry-period"},
		"no time between tries":              {args: "--leader-elect-retry-period=0", want: "--leader-elect-retry-period=0s: want more than 0"},
		"leader election that is off":        {args: "--leader-elect=false --leader-elect-lease-duration=1s"},
		"profiles for this pod alone":        {args: "--pprof-bind-address=127.0.0.1:6060"},
		"profiles on IPv6's loopback":        {args: "--pprof-bind-address=[::1]:6060"},
		"profiles for all":                   {args: "--pprof-bind-address=:6060", want: "--pprof-bind-address=:6060: want 0, or a loopback address"},
		"profiles for the network":           {args: "--pprof-bind-address=10.0.0.1:6060", want: "want 0, or a loopback address"},
		"a hub":                              {args: "--hub-url=https://hub.example.org:8443 --hub-token-file=/a --hub-ca-file=/b"},
		"a hub with a password":              {args: "--hub-url=https://me:secret@hub.example.org --hub-token-file=t", want: "--hub-url=https://me:xxxxx@hub.example.org: "},
		"a hub that is no URL":               {args: "--hub-url=hub.example.org --hub-token-file=/a", want: "--hub-url=hub.example.org: want one such as https://hub.example.org:8443"},
		"a token in plain":                   {args: "--hub-url=http://hub.example.org --hub-token-file=/a", want: "say --hub-plain-http"},
		"a token in plain that is to be":     {args: "--hub-url=http://hub.example.org --hub-token-file=/a --hub-plain-http"},
		"a hub without a token":              {args: "--hub-url=https://hub.example.org", want: "--hub-url: want --hub-token-file, too"},
		"a token without a hub":              {args: "--hub-token-file=/a", want: "want --hub-url, too"},
		"a lease that nothing holds":         {args: "--serve-only --leader-elect-lease-duration=1s"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parse(strings.Fields(c.args))
			switch {
			case err == nil && c.want != "":
				t.Errorf("no error, want %q", c.want)
			case err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %q, want %q", err, c.want)
			}
		})
	}
}

// A command line with several wrong flags gives an error that has a line for each.
func TestErrorsOfAllFlagsAreReportedAtOnce(t *testing.T) {
	_, err := parse([]string{"--flush-interval=0", "--leader-elect-lease-duration=1s", "--interval=7m", "run"})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{"unknown argument", "--interval: ", "--flush-interval=", "--leader-elect-lease-duration="} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d of %q: want %q", i+1, lines, want)
		}
	}
	if len(lines) != 4 {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}

func TestBudgetsAreBytes(t *testing.T) {
	o, err := parse([]string{"--record-budget=64Mi"})
	if err != nil {
		t.Fatal(err)
	}
	if o.recordBudget != 64<<20 || o.journalBudget != 1<<30 {
		t.Errorf("budgets %d and %d", o.recordBudget, o.journalBudget)
	}
	if text := o.journalBudget.String(); text != "1Gi" {
		t.Errorf("the default is shown as %s", text)
	}
}

// TestThePageHasTheDefaults compares those in the tables of docs/install.md; test/docs sees that no flag is left out.
func TestThePageHasTheDefaults(t *testing.T) {
	text, err := os.ReadFile("docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	flags, rows := commandLine(&options{}), regexp.MustCompile("(?m)^\\| `--([a-z-]+)` \\| ([^|]*)\\|").FindAllStringSubmatch(string(text), -1)
	for _, row := range rows {
		flag, said := flags.Lookup(row[1]), strings.TrimSpace(row[2])
		switch {
		case flag == nil:
			t.Errorf("there is no --%s", row[1])
			continue
		case row[1] == "namespace":
			continue // that of the pod
		}
		if flag.Value.Type() == "duration" {
			if duration, err := time.ParseDuration(said); err == nil {
				said = duration.String()
			}
		}
		if said != flag.DefValue {
			t.Errorf("--%s: the page says %q, and it is %q", row[1], said, flag.DefValue)
		}
	}
	if len(rows) < 30 {
		t.Errorf("%d flags are in the tables: they are not read as they are written now", len(rows))
	}
}

// TestTheChartKnowsTheFlags compares the flags that the Helm chart's schema admits with those that there are: one that is
// misspelt fails at the installation, and not in the pods.
func TestTheChartKnowsTheFlags(t *testing.T) {
	text, err := os.ReadFile("charts/usage-operator/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Flags struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	// What the chart's own templates and values decide, and what needs files in the container.
	decided := []string{
		"namespace", "leader-elect", "serve-only", "install-meters", "extra-meters", "health-probe-bind-address",
		"metrics-bind-address", "usage-api-bind-address", "metrics-cert-dir", "usage-api-cert-dir",
		"hub-url", "hub-token-file", "hub-ca-file", "hub-plain-http",
	}
	admitted := schema.Properties.Flags.Properties
	(&options{}).flags().VisitAll(func(flag *pflag.Flag) {
		if _, is := admitted[flag.Name]; is == slices.Contains(decided, flag.Name) {
			t.Errorf("--%s: in the schema: %t, decided by the chart: %t; want one of them", flag.Name, is, is)
		}
		delete(admitted, flag.Name)
	})
	for name := range admitted {
		t.Errorf("the schema admits --%s, which there is not", name)
	}
}
