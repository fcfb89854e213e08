// Command chart writes the parts of the Helm chart that say what config/ says: the CRDs, the roles, the policies. The
// rest of charts/ is written by hand; hack/ship compares what both render.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

const usage = `Writes the templates of charts/ that are made from config/, and the tables of values in their READMEs.

usage: go run ./hack/chart
`

func main() {
	if len(os.Args) > 1 {
		fmt.Print(usage)
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run() error {
	checkout, err := buildcache.Checkout()
	if err != nil {
		return err
	}
	for _, c := range charts {
		folder := filepath.Join(checkout, "charts", c.name)
		written, err := c.generate(checkout)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		for name, text := range written {
			if err := put(filepath.Join(folder, name), text); err != nil {
				return err
			}
		}
		if err := removeOthers(filepath.Join(folder, "templates", "generated"), written); err != nil {
			return err
		}
	}
	return nil
}

// put writes a file where it differs, aside and renamed, so that nobody reads half of it.
func put(path string, text []byte) error {
	if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, text) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	aside := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(aside, text, 0o644); err != nil {
		return err
	}
	fmt.Println("wrote", path)
	return os.Rename(aside, path)
}

// removeOthers removes templates whose source is no longer there.
func removeOthers(dir string, written map[string][]byte) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil // nothing of the chart is made from config/
	}
	if err != nil {
		return err
	}
	var failures []error
	for _, entry := range entries {
		if _, made := written["templates/generated/"+entry.Name()]; !made {
			failures = append(failures, os.Remove(filepath.Join(dir, entry.Name())))
		}
	}
	return errors.Join(failures...)
}

// part is a kustomization whose resources become templates.
type part struct {
	folder string
	// when is the condition under which a release has them; "": always.
	when string
	// except are resources that the chart has templates of its own for.
	except []string
}

// chart is one of charts/, and what of it is made from config/.
type chart struct {
	name  string
	parts []part
}

// The hub's is written by hand but for its README: each of its objects depends on values.
var charts = []chart{{name: "usage-operator", parts: parts}, {name: "usage-hub"}}

var parts = []part{
	{folder: "crd", when: ".Values.crds.install"},
	{folder: "rbac", except: []string{"service_account.yaml"}},
	{folder: "policy"},
	{folder: "policy/parts", when: ".Values.kubevirt.policies"},
	{folder: "policy/finalizers", when: ".Values.policies.finalizers"},
	{folder: "policy/pods", when: ".Values.policies.pods"},
	{folder: "policy/requests", when: ".Values.policies.requests"},
	{folder: "policy/ingresses", when: ".Values.policies.ingresses"},
	{folder: "network-policy", when: ".Values.networkPolicy.enabled"},
	{folder: "hub/network-policy", when: "and .Values.networkPolicy.enabled .Values.hub.url"},
}

// generate returns what is generated of the chart, by the paths in it.
func (c chart) generate(checkout string) (map[string][]byte, error) {
	written, err := c.templates(filepath.Join(checkout, "config"))
	if err == nil {
		written["README.md"], err = readme(filepath.Join(checkout, "charts", c.name))
	}
	return written, err
}

// templates returns the templates by their paths in the chart.
func (c chart) templates(config string) (map[string][]byte, error) {
	written := map[string][]byte{}
	for _, p := range c.parts {
		resources, err := resources(filepath.Join(config, p.folder))
		if err != nil {
			return nil, err
		}
		for _, name := range resources {
			if slices.Contains(p.except, name) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(config, p.folder, name))
			if err != nil {
				return nil, err
			}
			from := "config/" + p.folder + "/" + name
			made, err := template(string(text), p)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", from, err)
			}
			prefix := strings.ReplaceAll(p.folder, "/", "-") + "-"
			file := prefix + strings.TrimPrefix(strings.ReplaceAll(filepath.Base(name), "_", "-"), prefix)
			made = "{{- /* Code generated from " + from + " by hack/chart. DO NOT EDIT. */ -}}\n" + made
			written["templates/generated/"+file] = []byte(made)
		}
	}
	return written, nil
}
