package usagecli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/metercase"
)

// meters is kubectl usage meter, for those who write UsageMeters.
func (c *cli) meters() *cobra.Command {
	command := &cobra.Command{
		Use: "meter", Short: "Try UsageMeters, without a cluster.",
		Example: "  kubectl usage meter test database.yaml --object db-0.yaml",
		Args:    exactly(0, "a command, such as test"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	command.AddCommand(c.meterTest())
	return command
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

Nothing is asked of a cluster: what needs other objects (a pod's workload, the
deployment that it is put under) is told as far as the object itself says.

Exit status: 0 if all is as expected, 1 if something is not, 2 if it could not
be tried.`

func (c *cli) meterTest() *cobra.Command {
	var object string
	command := &cobra.Command{
		Use: "test METER (--object FILE | CASES...)", Short: "Show what a UsageMeter reads of an object, or check cases.",
		Long: aboutMeterTest,
		Example: `  kubectl usage meter test database.yaml --object db-0.yaml
  kubectl get pod web-0 -o yaml |
    kubectl usage meter test container.yaml --object -
  kubectl usage meter test database.yaml testdata/database/*.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || (object == "") == (len(args) == 1) {
				return misused("want a UsageMeter's file, and either --object or files of cases")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			spec := &v1alpha1.UsageMeter{}
			err := c.readFile(args[0], spec)
			if err == nil && spec.Spec.Target.Kind == "" {
				err = fmt.Errorf("%s: it is no UsageMeter: spec.target.kind is missing", args[0])
			}
			switch {
			case err != nil:
				return &outcome{exitUnreadable, err}
			case object != "":
				return c.inspect(spec, object)
			}
			return c.tryCases(spec, args[1:])
		},
	}
	command.Flags().StringVar(&object, "object", "", "A file with the object, as kubectl get -o yaml or -o json gives it. -: what comes in.")
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

// inspect prints what the meter reads of an object.
func (c *cli) inspect(spec *v1alpha1.UsageMeter, path string) error {
	var content metercase.Object
	if err := c.readFile(path, &content); err != nil {
		return &outcome{exitUnreadable, err}
	}
	object := &unstructured.Unstructured{Object: content}
	m, err := metercase.Compile(spec, object)
	if err != nil {
		return &outcome{exitUnreadable, err}
	}
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
	if err != nil {
		return &outcome{exitDifference, fmt.Errorf("it cannot be read, and is quarantined: %w", err)}
	}
	for _, hint := range placementHints(m, object) {
		say("%s", hint)
	}
	text, err := yaml.Marshal(map[string]any{"expect": metercase.Members(m, object, reading.Members)})
	if err != nil {
		return err
	}
	_, err = c.Out.Write(text)
	return err
}

// placementHints tell where the object's usage is put, as far as it says itself.
func placementHints(m *meter.Meter, object *unstructured.Unstructured) (hints []string) {
	graph := attribution.New()
	graph.Upsert(attribution.NodeOf(object))
	uid := string(object.GetUID())
	placement := graph.Place(uid)
	if m.BillsWorkload() {
		hints = append(hints, fmt.Sprintf("bills the workload: %s %s, or what owns it", placement.Workload.Kind, placement.Workload.Name))
	}
	name := cmp.Or(placement.Deployment, "(none)")
	if owner, _, unknown := graph.Unknown(uid); unknown {
		return append(hints, fmt.Sprintf("deployment: %s, or what owns %s %s", name, owner.Kind, owner.Name))
	}
	return append(hints, fmt.Sprintf("deployment: %s, by the object alone, where the meter does not say", name))
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
