// Package monitoring reads config/monitoring, for the tests that run it on a real Prometheus.
package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// Rule is an alert, or a recording rule.
type Rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Group is a group of rules.
type Group struct {
	Name  string `json:"name"`
	Rules []Rule `json:"rules"`
}

// Groups are those of the PrometheusRule in a checkout.
func Groups(root string) ([]Group, error) {
	var rule struct {
		Spec struct {
			Groups []Group `json:"groups"`
		} `json:"spec"`
	}
	raw, err := os.ReadFile(filepath.Join(root, "config/monitoring/prometheus_rule.yaml"))
	if err == nil {
		err = yaml.Unmarshal(raw, &rule)
	}
	return rule.Spec.Groups, err
}

// WriteRules writes groups as a file that Prometheus reads.
func WriteRules(file string, groups []Group) error {
	raw, err := yaml.Marshal(map[string]any{"groups": groups})
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o644)
}

// Dashboard is one of Grafana's, as far as it matters here.
type Dashboard struct {
	File        string `json:"-"`
	UID         string `json:"uid"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Tags        []string
	Templating  struct {
		List []Variable `json:"list"`
	} `json:"templating"`
	Panels []Panel `json:"panels"`
}

// Variable is one of a dashboard's.
type Variable struct {
	Name string          `json:"name"`
	Type string          `json:"type"`
	Raw  json.RawMessage `json:"query"`
}

// Panel is one of a dashboard's; a row has no targets.
type Panel struct {
	ID          int      `json:"id"`
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	GridPos     Position `json:"gridPos"`
	Targets     []Target `json:"targets"`
	Datasource  struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

// Position is where a panel lies, in columns of 24 and rows.
type Position struct{ X, Y, W, H int }

// Target is a query.
type Target struct {
	RefID   string `json:"refId"`
	Expr    string `json:"expr"`
	Instant bool   `json:"instant"`
}

// Dashboards are those in a checkout.
func Dashboards(root string) ([]Dashboard, error) {
	files, err := filepath.Glob(filepath.Join(root, "config/monitoring/dashboards/*.json"))
	if err != nil {
		return nil, err
	}
	all := make([]Dashboard, len(files))
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all[i].File = filepath.Base(file)
	}
	return all, nil
}

// Query is the target's expression with Grafana's variables replaced, as Grafana does.
func (t *Target) Query(values map[string]string) string {
	query := t.Expr
	for name, value := range values {
		query = strings.ReplaceAll(query, "$"+name, value)
	}
	return query
}

// Program is the path of one of Prometheus' programs. It is in Debian's package prometheus.
func Program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: run hack/prometheus.sh as root, or install Debian's package prometheus", err)
	}
	return path, nil
}

// GrafanaDefaults are values of the variables that Grafana has by itself, for a range of an hour.
var GrafanaDefaults = map[string]string{"__rate_interval": "1m", "__range": "1h"}
