package docs

import (
	"maps"
	"slices"
	"testing"
)

// example is for one rule: a text of which nothing is false, and texts of which one thing is.
type example struct {
	so    string
	notSo []string
}

var examples = map[string]example{
	"commands and their flags": {
		so: "`kubectl usage top ns -A --last 7d`, `usage-operator archive COMMAND`, `make simulate SEEDS=2`, [usage-operator verify](x)\n\n" +
			"```sh\nkubectl usage get vm/db -n shop | head -3   # --nosuch\nusage-hub enrol UID --name eu\nhelm install x --nosuch\ngo run . --interval=1m\n```\n\n" +
			"```console\n$ kubectl usage meter test FILE \\\n  --object x\nusage-operator printed --nosuch\n```",
		notSo: []string{
			"`kubectl usage lists`", "`kubectl usage list --blocks`", "`kubectl usage meter tests`", "`kubectl usage list -x`",
			"`usage-operator audit`", "`usage-operator check --seal x`", "`usage-operator --seal x`", "`usage-hub send --grace 1h`",
			"`make tests`", "`make manifests tests`", "`make simulate SEED_COUNT=2`", "[usage-operator verfy](x)",
			"```sh\nkubectl exec x -- /usage-operator check --intervall=1m\n```",
			"```console\n$ kubectl usage list \\\n  --lasts 7d\n```",
		},
	},
	"flags by themselves": {
		so:    "`--interval`, `--archive URL`, `--quota-backend-bytes`, and 1 -- 2\n\n```yaml\nargs: [--interval=1m, \"--archive=x\"]\n```\n`helm install --nosuch`",
		notSo: []string{"`--intervall`", "by --intervall alone", "```yaml\n- --intervall=1m\n```"},
	},
	"metrics": {
		so:    "`usage_operator_held` and rate(usage_operator_seal_duration_seconds_bucket[5m]), usage_operator_*",
		notSo: []string{"`usage_operator_hold`", "usage_hub_nosuch_total"},
	},
	"reasons": {
		so:    "| reason | then |\n|---|---|\n| `Metering` | `Whatever` |\n\n`--field-selector reason=MemoryNearLimit`",
		notSo: []string{"| Ready | the reason |\n|---|---|\n| `True` | `Meterin` |", "`--field-selector reason=MemoryNear`"},
	},
	"roles and other objects": {
		so:    "`usage-operator-publisher`, usage-operator-6d5f8c9b7-x2v9k, usage-operator's",
		notSo: []string{"the ClusterRole `usage-operator-publishers`", "```yaml\nname: usage-operator-nosuch\n```"},
	},
	"kinds": {
		so:    "UsageRecords and a ClusterUsageReport; UsageRecordList; `kubectl get usagerecords`",
		notSo: []string{"UsageRecorder", "ClusterUsageMeter", "`kubectl get usagerecordings`"},
	},
	"words of code": {
		so:    "`MemoryNearLimit`, `status.quarantine`, `TestSegments`, `Final`, `go test -run TestSeeds`",
		notSo: []string{"`MemoryNearLimitt`", "`status.quarrantine`", "`TestThatThereIsNot`", "```sh\ngo test ./internal/ledger -run TestThatThereIsNot\n```"},
	},
	"files and folders": {
		so:    "`config/rbac`, `internal/{ledger,usage}`, `docs/*.md`, `go test ./internal/ledger/...`, `test/docs`",
		notSo: []string{"`config/rbca`", "`internal/{ledger,usages}`", "`docs/*.nosuch`", "```sh\nmake test PACKAGES=./internal/ledgers\n```"},
	},
	"links": {
		so: "# The page\n\n[a](install.md#uninstall), [b](../README.md), [c](#the-page), [d](../config/rbac), [e](https://example.com/x#y),\n" +
			"[f](https://github.com/usage-operator/usage-operator/blob/main/docs/install.md#flags)",
		notSo: []string{
			"[a](install.md#uninstal)", "[b](READ.md)", "[c](#page)", "[d](../config/rbca)",
			"[f](https://github.com/usage-operator/usage-operator/blob/main/docs/instal.md)",
		},
	},
	"commands of help": {
		so:    "const about = `Usage:\n  usage-operator check [flags]     Check that it is so.\n`\nx := \"  kubectl usage list\\n  kubectl usage top ns\"\n// kubectl usage does what it does.",
		notSo: []string{"  usage-operator audit [flags]", "x := \"  kubectl usage list\\n  kubectl usage topp ns\"", "See usage-hub nosuch --help."},
	},
	"flags of messages": {
		so:    "i--\nerrors.New(\"--interval: want --archive, too\") // --last",
		notSo: []string{"errors.New(\"want --archives, too\")", "- --intervall=1m"},
	},
	"pages of messages": {
		so:    "See docs/install.md, or docs/install.md#flags.",
		notSo: []string{"See docs/installation.md.", "See docs/install.md#flag."},
	},
}

func TestEachRuleFindsWhatIsFalse(t *testing.T) {
	f, unused := here(t), maps.Clone(examples)
	for _, r := range slices.Concat(rules, textRules) {
		e, is := unused[r.name]
		if delete(unused, r.name); !is || len(e.notSo) < 2 {
			t.Errorf("%s has no two texts that are false", r.name)
			continue
		}
		t.Run(r.name, func(t *testing.T) {
			for _, found := range findings(f, r, e.so) {
				t.Errorf("line %d of what is so: %s", found.line, found.text)
			}
			for _, text := range e.notSo {
				if found := findings(f, r, text); len(found) != 1 {
					t.Errorf("it finds %v, want one thing, in %q", found, text)
				}
			}
		})
	}
	for name := range unused {
		t.Errorf("there is no rule %q", name)
	}
}

// findings are those in a page of the docs with this text.
func findings(f *facts, r rule, text string) []finding {
	where, with := page{path: "docs/a-page.md", text: text}, *f
	with.pages, with.files = maps.Clone(f.pages), maps.Clone(f.files)
	with.pages[where.path], with.files[where.path] = where, true
	return r.find(&with, where)
}

// additions are things that the docs do not know, and each duty has to say so.
var additions = map[string]func(*facts){
	"flags of the operator": func(f *facts) {
		f.programs["usage-operator"] = with(f.programs["usage-operator"], "check", "nosuch")
	},
	"commands and flags of kubectl usage": func(f *facts) {
		f.programs["kubectl usage"] = with(f.programs["kubectl usage"], "list", "nosuch")
	},
	"commands and flags of usage-hub": func(f *facts) { f.programs["usage-hub"] = with(f.programs["usage-hub"], "nosuch", "name") },
	"reasons":                         func(f *facts) { f.reasons = added(f.reasons, "NoSuchReason", true) },
	"roles and policies": func(f *facts) {
		f.objects = added(f.objects, "usage-operator-nosuch", []manifest{{kind: "ClusterRole"}})
	},
	"kinds":           func(f *facts) { f.project += "\n  kind: NoSuchKind\n" },
	"what is metered": func(f *facts) { f.measured = added(f.measured, "nosuch", map[string]bool{"x": true}) },
	"packages":        func(f *facts) { f.files = added(f.files, "internal/nosuch", true) },
	"pages": func(f *facts) {
		f.pages = maps.Clone(f.pages)
		f.pages["docs/nosuch.md"] = page{path: "docs/nosuch.md"}
	},
}

func TestEachDutyFindsWhatIsLeftOut(t *testing.T) {
	for _, d := range duties {
		add := additions[d.name]
		if add == nil {
			t.Errorf("%s has nothing that is left out", d.name)
			continue
		}
		f := *here(t)
		f.programs = maps.Clone(f.programs)
		before := len(d.missing(&f))
		if add(&f); len(d.missing(&f)) != before+1 {
			t.Errorf("%s: it does not say that one thing is left out: %v", d.name, d.missing(&f))
		}
	}
}

// with is the program with one more flag.
func with(p *program, command, flag string) *program {
	more := *p
	more.commands = maps.Clone(p.commands)
	more.commands[command] = added(p.commands[command], flag, true)
	return &more
}

// added is a map with one more.
func added[V any](m map[string]V, name string, value V) map[string]V {
	more := map[string]V{name: value}
	maps.Copy(more, m)
	return more
}
