package monitoring

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

func ruleGroups(t *testing.T) []Group {
	t.Helper()
	groups, err := Groups(root)
	if err != nil || len(groups) == 0 {
		t.Fatalf("%d groups of rules: %v", len(groups), err)
	}
	return groups
}

func alertRules(t *testing.T) map[string]Rule {
	t.Helper()
	alerts := map[string]Rule{}
	for _, g := range ruleGroups(t) {
		for _, r := range g.Rules {
			if r.Alert != "" {
				alerts[r.Alert] = r
			}
		}
	}
	return alerts
}

func text(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// promtool runs promtool in a folder, and gives what it says.
func promtool(t *testing.T, folder string, args ...string) {
	t.Helper()
	path, err := Program("promtool")
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path, args...)
	command.Dir = folder
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("promtool %q: %v\n%s", args, err, out)
	}
}

// casesOfRules is a file of tests for promtool.
type casesOfRules struct {
	Tests []struct {
		Name  string
		Rules []struct {
			AlertName string `json:"alertname"`
			Expected  []any  `json:"exp_alerts"`
		} `json:"alert_rule_test"`
	}
}

func TestRulesFireAndClear(t *testing.T) {
	folder := t.TempDir()
	if err := WriteRules(filepath.Join(folder, "rules.yaml"), ruleGroups(t)); err != nil {
		t.Fatal(err)
	}
	cases := text(t, "config/monitoring/tests/alerts.yaml")
	if err := os.WriteFile(filepath.Join(folder, "alerts.yaml"), []byte(cases), 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, folder, "check", "rules", "rules.yaml")
	promtool(t, folder, "test", "rules", "alerts.yaml")

	var all casesOfRules
	if err := yaml.Unmarshal([]byte(cases), &all); err != nil {
		t.Fatal(err)
	}
	for name := range alertRules(t) {
		fires, silent := false, false // and then it clears
		for _, c := range all.Tests {
			for _, r := range c.Rules {
				if r.AlertName == name && c.Name == name {
					fires = fires || len(r.Expected) > 0
					silent = fires && len(r.Expected) == 0
				}
			}
		}
		if !fires || !silent {
			t.Errorf("%s has no case in which it fires and clears", name)
		}
	}
}

// sections are what a runbook has.
var sections = []string{"Meaning", "Impact", "Diagnosis", "Mitigation"}

func TestEachAlertHasARunbook(t *testing.T) {
	alerts := alertRules(t)
	files, err := filepath.Glob(filepath.Join(root, "docs/runbooks/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); alerts[name].Alert == "" {
			t.Errorf("%s is of no alert", file)
		}
	}
	heading := regexp.MustCompile(`(?m)^## (.+)$`)
	for name, r := range alerts {
		severity := r.Labels["severity"]
		if severity != "critical" && severity != "warning" {
			t.Errorf("%s has the severity %q", name, severity)
		}
		for _, annotation := range []string{"summary", "description"} {
			if r.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", name, annotation)
			}
		}
		if want := "https://github.com/usage-operator/usage-operator/blob/main/docs/runbooks/" + name + ".md"; r.Annotations["runbook_url"] != want {
			t.Errorf("%s has the runbook %s, want %s", name, r.Annotations["runbook_url"], want)
		}
		page := text(t, "docs/runbooks", name+".md")
		var has []string
		for _, found := range heading.FindAllStringSubmatch(page, -1) {
			has = append(has, found[1])
		}
		if !strings.HasPrefix(page, "# "+name+"\n\nSeverity: "+severity+".\n") || !slices.Equal(has, sections) {
			t.Errorf("the runbook of %s does not begin with its name and severity, or has not the sections %v", name, sections)
		}
	}
}

// The page has a row for each alert, with its severity.
func TestThePageListsTheAlerts(t *testing.T) {
	listed := map[string]string{}
	for _, cells := range regexp.MustCompile(`(?m)^\| \[(Usage\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \|`).FindAllStringSubmatch(text(t, "docs/monitoring.md"), -1) {
		if cells[1] != cells[2] {
			t.Errorf("%s has the runbook of %s", cells[1], cells[2])
		}
		listed[cells[1]] = cells[3]
	}
	want := map[string]string{}
	for name, r := range alertRules(t) {
		want[name] = r.Labels["severity"]
	}
	if !maps.Equal(listed, want) {
		t.Errorf("docs/monitoring.md lists %v, want %v", listed, want)
	}
}

// What is asked for is what the operator offers: docs/metrics.md has that, by another test.
func TestMetricsThatAreAskedForAreThere(t *testing.T) {
	there := map[string]string{}
	for _, cells := range regexp.MustCompile("(?m)^\\| `(usage_operator_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(text(t, "docs/metrics.md"), -1) {
		there[cells[1]] = cells[2]
	}
	asked, records := askedFor(t)
	for where, expression := range asked {
		for _, name := range regexp.MustCompile(`\busage_operator[_:][\w:]+`).FindAllString(expression, -1) {
			series := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")
			switch {
			case records[name], there[name] != "" && there[name] != "histogram":
			case there[series] == "histogram" && (series != name || strings.HasSuffix(where, ".md")):
			default:
				t.Errorf("%s asks for %s, which there is not", where, name)
			}
		}
	}
}

// askedFor are the expressions and texts that ask for metrics, by where they stand, and the series that rules record.
func askedFor(t *testing.T) (asked map[string]string, records map[string]bool) {
	t.Helper()
	asked, records = map[string]string{}, map[string]bool{}
	for _, g := range ruleGroups(t) {
		for _, r := range g.Rules {
			asked[r.Alert+r.Record] = r.Expr
			records[r.Record] = true
		}
	}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				asked[d.File+": "+p.Title] += " " + target.Expr
			}
		}
		for _, v := range d.Templating.List {
			asked[d.File+": $"+v.Name] = string(v.Raw)
		}
	}
	for name := range alertRules(t) {
		asked["docs/runbooks/"+name+".md"] = text(t, "docs/runbooks", name+".md")
	}
	asked["docs/monitoring.md"] = text(t, "docs/monitoring.md")
	return asked, records
}

func dashboards(t *testing.T) []Dashboard {
	t.Helper()
	all, err := Dashboards(root)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d dashboards: %v", len(all), err)
	}
	return all
}

// soundPanel checks a panel by itself, and that it lies over none before it.
func soundPanel(t *testing.T, d Dashboard, i int) {
	t.Helper()
	p := d.Panels[i]
	where := fmt.Sprintf("%s: panel %d, %q", d.File, p.ID, p.Title)
	if p.Title == "" {
		t.Errorf("%s: want a title", where)
	}
	for _, q := range d.Panels[:i] {
		if a, b := p.GridPos, q.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
			t.Errorf("%s lies over %q", where, q.Title)
		}
	}
	if p.GridPos.X+p.GridPos.W > 24 {
		t.Errorf("%s is wider than the page", where)
	}
	if p.Type != "row" && (p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0) {
		t.Errorf("%s: want a description, a unit, the data source $datasource, and a query", where)
	}
}

func TestDashboardsAreSound(t *testing.T) {
	uids, expressions := map[string]bool{}, Group{Name: "expressions"}
	kustomization := text(t, "config/monitoring/kustomization.yaml")
	for _, d := range dashboards(t) {
		if d.UID == "" || uids[d.UID] || d.Title == "" || d.Description == "" {
			t.Errorf("%s: uid %q, title %q: want one of its own each, and a description", d.File, d.UID, d.Title)
		}
		uids[d.UID] = true
		if !strings.Contains(kustomization, "dashboards/"+d.File) {
			t.Errorf("%s is not deployed", d.File)
		}
		ids := map[int]bool{}
		for i, p := range d.Panels {
			if p.ID == 0 || ids[p.ID] {
				t.Errorf("%s: panel %d, %q: want an id of its own", d.File, p.ID, p.Title)
			}
			ids[p.ID] = true
			soundPanel(t, d, i)
			for n, target := range p.Targets {
				expressions.Rules = append(expressions.Rules, Rule{
					Record: fmt.Sprintf("query:%s:%d:%d", strings.TrimSuffix(d.File, ".json"), p.ID, n), Expr: target.Query(GrafanaDefaults),
				})
			}
		}
	}
	folder := t.TempDir()
	if err := WriteRules(filepath.Join(folder, "queries.yaml"), []Group{expressions}); err != nil {
		t.Fatal(err)
	}
	promtool(t, folder, "check", "rules", "queries.yaml")
}
