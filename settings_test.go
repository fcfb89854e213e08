package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

const aFile = "apiVersion: config.usage-operator.dev/v1alpha1\nkind: UsageOperatorConfiguration\n"

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The command line wins over the environment, and that over the file; what none has is the default.
func TestWhatWins(t *testing.T) {
	path := configFile(t, aFile+"interval: 10m\nflushInterval: 2s\nrecordBudget: 64Mi\nhotDays: 5\nleaderElect: false\nownerKinds: [Rollout.argoproj.io, PodSet]\n"+
		"usageApiRequestsPerSecond: 7.5\n")
	t.Setenv("USAGE_OPERATOR_CONFIG", path)
	t.Setenv("USAGE_OPERATOR_INTERVAL", "20m")
	t.Setenv("USAGE_OPERATOR_FLUSH_INTERVAL", "3s")
	o, err := parse([]string{"--interval=30m"})
	if err != nil {
		t.Fatal(err)
	}
	if o.interval != 30*time.Minute || o.flush != 3*time.Second || o.recordBudget != 64<<20 || o.hotDays != 5 || o.leaderElect ||
		o.ownerKinds.String() != "Rollout.argoproj.io,PodSet" || o.usageRate != 7.5 || o.retention != 72*time.Hour {
		t.Errorf("%+v", o)
	}
}

func TestWhatAFileMayNotHave(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"another kind":     {"kind: Configuration\n", "want apiVersion: config.usage-operator.dev/v1alpha1 and kind: UsageOperatorConfiguration"},
		"an unknown key":   {aFile + "intervall: 1h\n", `unknown key "intervall": there are archive, archiveCut, `},
		"a key twice":      {aFile + "interval: 1h\ninterval: 2h\n", `"interval" already set in map`},
		"a flag's name":    {aFile + "hot-days: 1\n", `unknown key "hot-days"`},
		"a wrong value":    {aFile + "interval: often\n", "interval: invalid argument"},
		"an object":        {aFile + "interval: {a: b}\n", "interval: want a text, a number"},
		"a list of others": {aFile + "ownerKinds: [1]\n", "ownerKinds: want a list of texts"},
		"no object":        {"- a\n", "want an object"},
		"what is checked":  {aFile + "interval: 7m\n", "--interval: "},
		"another file":     {aFile + "config: other.yaml\n", `unknown key "config"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse([]string{"--config=" + configFile(t, c.text)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := parse([]string{"--config=/nowhere.yaml"}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
	t.Setenv("USAGE_OPERATOR_HOT_DAYS", "few")
	if _, err := parse(nil); err == nil || !strings.HasPrefix(err.Error(), "USAGE_OPERATOR_HOT_DAYS: ") {
		t.Errorf("a wrong variable: %v", err)
	}
}

// Each flag is in a group of the help, and each group is named once.
func TestEachFlagIsInAGroup(t *testing.T) {
	flags := commandLine(&options{})
	flags.VisitAll(func(f *pflag.Flag) {
		if groupOf(f) == "" && f.Name != "kubeconfig" {
			t.Errorf("--%s is in no group", f.Name)
		}
	})
	named := map[string]bool{}
	for line := range strings.Lines(usages(flags)) {
		if title, is := strings.CutSuffix(line, ":\n"); is && !strings.HasPrefix(line, " ") {
			if named[title] {
				t.Errorf("%q is there twice", title)
			}
			named[title] = true
		}
	}
	if len(named) < 6 {
		t.Errorf("the groups are %v", named)
	}
}
