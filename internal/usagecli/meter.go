package usagecli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/metercase"
)

// meters is kubectl usage meter, for those who write UsageMeters.
func (c *cli) meters() *cobra.Command {
	ofMeters := &cobra.Command{
		Use: "meter", Short: "Try UsageMeters before they are applied.",
		Example: "  kubectl usage meter test database.yaml --object db-0.yaml",
		Args:    command,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	ofMeters.AddCommand(c.meterTest())
	return ofMeters
}

const aboutMeterTest = `Show what a UsageMeter reads of an object, or check it against cases.

With --object it prints what is read, and what that costs, as a case has it. A
file of cases has one or more of these, as YAML documents:

  case: what it shows, in words
  object: {...}            # as kubectl get -o yaml has it
  expect:                  # nothing: the object is not metered
  - container: web         # the member's key, if the meter has forEach
    levels: {cpu: 500m}    # quantities; those that are 0 are left out
    attributes: {tier: gold}
    start: "2026-11-21T20:00:03Z"

Files need no cluster: what needs other objects (a pod's workload, its node, a
claim's volume) is then told as far as the object itself says. A case may have
these beside the object, as node and other.

With --object TYPE/NAME the object is read from the cluster, in the version that
the operator reads, and so are its owners, its node, the other object that has
facts of it and what it may be a part of, with your own rights: whatever you may
not read is said, and left out. The UsageMeter need not be applied, and nothing
is changed.

Exit status: 0 if all is as expected, 1 if something is not, 2 if it could not
be tried.`

func (c *cli) meterTest() *cobra.Command {
	var object string
	command := &cobra.Command{
		Use: "test METER (--object FILE|TYPE/NAME | CASES...)", Short: "Show what a UsageMeter reads of an object, or check cases.",
		Long: aboutMeterTest,
		Example: `  kubectl usage meter test database.yaml --object db-0.yaml
  kubectl get pod web-0 -o yaml |
    kubectl usage meter test container.yaml --object -
  kubectl usage meter test database.yaml --object database/db-0 -n shop
  kubectl usage meter test database.yaml testdata/database/*.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || (object == "") == (len(args) == 1) {
				return &misuse{command: cmd.CommandPath(), error: errors.New("want a UsageMeter's file, and either --object or files of cases")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			spec := &v1alpha1.UsageMeter{}
			err := c.readFile(args[0], spec)
			if err == nil && spec.Spec.Target.Kind == "" {
				err = fmt.Errorf("%s: it is no UsageMeter: spec.target.kind is missing", args[0])
			}
			switch {
			case err != nil:
				return &outcome{exitUnreadable, err}
			case object == "":
				return c.tryCases(spec, args[1:])
			case isFile(object):
				return c.inspectFile(spec, object)
			}
			return c.inspectLive(cmd.Context(), spec, object)
		},
	}
	command.Flags().StringVar(&object, "object", "", "A file with the object, as kubectl get -o yaml or -o json gives it; -: what comes in; or TYPE/NAME: one of the cluster's.")
	return command
}

// readFile reads a YAML or JSON file; "-" is what comes in.
func (c *cli) readFile(path string, into any) error {
	text, err := c.fileText(path)
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (c *cli) fileText(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(c.In)
	}
	return os.ReadFile(path)
}

// isFile tells whether the object is in a file: TYPE/NAME is one if there is such a file.
func isFile(object string) bool {
	kind, name, is := strings.Cut(object, "/")
	if !is || kind == "" || name == "" || strings.Contains(name, "/") {
		return true
	}
	_, err := os.Stat(object)
	return err == nil
}

// inspectFile prints what the meter reads of an object in a file.
func (c *cli) inspectFile(spec *v1alpha1.UsageMeter, path string) error {
	var content metercase.Object
	if err := c.readFile(path, &content); err != nil {
		return &outcome{exitUnreadable, err}
	}
	object := &unstructured.Unstructured{Object: content}
	m, err := metercase.Compile(spec, object)
	if err != nil {
		return &outcome{exitUnreadable, err}
	}
	return c.inspect(m, object, &surroundings{})
}

// inspect prints what the meter reads of an object, and what that costs.
func (c *cli) inspect(m *meter.Meter, object *unstructured.Unstructured, around *surroundings) error {
	began := c.now()
	reading, err := m.Inspect(object)
	took := c.now().Sub(began)
	say := func(format string, args ...any) {
		fmt.Fprintf(c.Out, "# %s\n", plain(fmt.Sprintf(format, args...)))
	}
	say("UsageMeter %s, %s: %s %s", m.Name(), m.ResourceType(), object.GetKind(), object.GetName())
	say("cost %d of %d, in %s", reading.Cost, reading.MostCost, took.Round(time.Microsecond))
	if !m.Matches(object.GetLabels()) {
		say("the meter's selector does not choose it: nothing is metered")
	}
	unreadable := err
	if unreadable != nil && len(reading.Members) == 0 {
		return &outcome{exitDifference, fmt.Errorf("it cannot be read, and is quarantined: %w", unreadable)}
	}
	for _, hint := range around.hints(m, object) {
		say("%s", hint)
	}
	if around.node != nil {
		at := m.Locate(around.node)
		for i := range reading.Members {
			if reading.Members[i].Active {
				m.Put(&at, &reading.Members[i].Subject)
			}
		}
	}
	if around.facts != nil {
		vouches := "which does not vouch for it: what is held is what the object says itself"
		if m.Hear(around.facts, reading.Members) {
			vouches = "which vouches for it: what that says of it goes first"
		}
		say("names the %s %s, %s", around.facts.GetKind(), around.facts.GetName(), vouches)
	}
	text, err := yaml.Marshal(map[string]any{"expect": metercase.Members(m, object, reading.Members)})
	if err != nil {
		return err
	}
	if _, err = c.Out.Write(text); err != nil || unreadable == nil {
		return err
	}
	return &outcome{exitDifference, fmt.Errorf("what is above can be read; the rest is quarantined: %w", unreadable)}
}

// tryCases holds the meter against files of cases.
func (c *cli) tryCases(spec *v1alpha1.UsageMeter, paths []string) error {
	tried, failed := 0, 0
	for _, path := range paths {
		text, err := c.fileText(path)
		if err != nil {
			return &outcome{exitUnreadable, err}
		}
		cases, err := metercase.Cases(text)
		if err != nil {
			return &outcome{exitUnreadable, fmt.Errorf("%s: %w", path, err)}
		}
		for i := range cases {
			tried++
			difference, err := cases[i].Difference(spec)
			if err != nil {
				return &outcome{exitUnreadable, fmt.Errorf("%s: %s: %w", path, cases[i].Case, err)}
			}
			if difference == "" {
				fmt.Fprintf(c.Out, "ok      %s\n", plain(cases[i].Case))
				continue
			}
			failed++
			fmt.Fprintf(c.Out, "FAILED  %s (%s): expected (-), read (+):\n%s\n", plain(cases[i].Case), path, difference)
		}
	}
	switch {
	case tried == 0:
		return &outcome{exitUnreadable, errors.New("there are no cases in these files")}
	case failed > 0:
		return &outcome{exitDifference, fmt.Errorf("%d of %d cases are not as expected", failed, tried)}
	}
	return nil
}
