package usagecli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

func TestWhatPeopleSeeOfChanges(t *testing.T) {
	server := cluster(t)
	shop, admin := kubeconfig(t, server, "shop", "shop"), kubeconfig(t, server, "admin", "default")
	const third = " --from=2026-11-03T00:00:00Z --to=2026-11-04T00:00:00Z"
	for _, c := range []struct{ name, who, command, want string }{
		{"two days", shop, "diff resources --dimension vcpu" + third, `
METRIC    NAMESPACE   RESOURCE             BEFORE   AFTER   CHANGE         %   UNIT
vm.vcpu   shop        web-0                   ~40       0     ~-40   -100.0%   core-hour
vm.vcpu   shop        =cmd|' /C calc'!A0        0      12      +12         -   core-hour
vm.vcpu   shop        web-1                    48      48        0      0.0%   core-hour
`},
		{"the largest, and the others", admin, "diff resources -A --most 1 --dimension vcpu" + third, `
METRIC    NAMESPACE    RESOURCE   BEFORE   AFTER   CHANGE         %   UNIT
vm.vcpu   shop         web-0         ~40       0     ~-40   -100.0%   core-hour
vm.vcpu   (3 others)   -               -       -      +12         -   core-hour
`},
		{"a time before metering began", shop, "diff --dimension vcpu --from=2026-11-01T00:00:00Z --to=2026-11-02T00:00:00Z", `
METRIC    NAMESPACE   DEPLOYMENT    BEFORE   AFTER    CHANGE   %   UNIT
vm.vcpu   shop        web          unknown      56   unknown   -   core-hour
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, out, stderr := run(append(strings.Fields(c.command), "--kubeconfig="+c.who)...)
			if status != exitDone || out != c.want[1:] {
				t.Errorf("status %d\n%s\n%s\nwant\n%s", status, out, stderr, c.want[1:])
			}
		})
	}
}

// A month that goes on is compared with as much of the last, and --last-month with the one before.
// There are figures up to the midnight before: what is not counted yet is compared with nothing.
func TestWhatChangesAreComparedWith(t *testing.T) {
	server := cluster(t)
	who := kubeconfig(t, server, "shop", "shop")
	for command, want := range map[string][2]string{
		"diff":              {"from 2026-10-01T00:00:00Z to 2026-10-04T00:00:00Z", "from 2026-11-01T00:00:00Z to 2026-11-04T00:00:00Z"},
		"diff --last-month": {"from 2026-09-01T00:00:00Z to 2026-10-01T00:00:00Z", "from 2026-10-01T00:00:00Z to 2026-11-01T00:00:00Z"},
		"diff --last 1d":    {"from 2026-11-03T00:00:00Z to 2026-11-03T12:00:00Z", "from 2026-11-03T12:00:00Z to 2026-11-04T00:00:00Z"},
		"diff --last 1d --against-from 2026-11-01T00:00:00Z": {"from 2026-11-01T00:00:00Z to 2026-11-01T12:00:00Z", "from 2026-11-03T12:00:00Z to 2026-11-04T00:00:00Z"},
	} {
		status, _, stderr := run(append(strings.Fields(command), "--kubeconfig="+who)...)
		if status != exitDone || !strings.Contains(stderr, "Before is "+want[0]) || !strings.Contains(stderr, "After is "+want[1]) {
			t.Errorf("%s: status %d, %s: want %v", command, status, stderr, want)
		}
	}
	for _, command := range []string{"diff --against-to 2026-11-01", "diff pods", "diff --most 0", "diff --last 1d --against-from 2026-11-02 --against-to 2026-11-01"} {
		if status, _, stderr := run(append(strings.Fields(command), "--kubeconfig="+who)...); status != exitMisused {
			t.Errorf("%s: status %d, %s: want that it makes no sense", command, status, stderr)
		}
	}
}

// Nothing meters nodes in this cluster: nothing is compared, and that is said. A tenant is refused.
func TestIdleOfWhatIsNotMeteredIsUnknown(t *testing.T) {
	server := cluster(t)
	const day = " --from=2026-11-01T00:00:00Z --to=2026-11-02T00:00:00Z"
	status, out, stderr := run(append(strings.Fields("idle"+day), "--kubeconfig="+kubeconfig(t, server, "admin", "shop"))...)
	if status != exitDone || len(strings.Split(out, "\n")) != 5 || strings.Count(out, " unknown ") != 15 || !strings.Contains(out, "24h0m0s") || !strings.Contains(stderr, "cpu: of node_pool.vcpu, what is held by container.cpu, vm.vcpu.") {
		t.Errorf("status %d\n%s\n%s", status, out, stderr)
	}
	status, out, stderr = run(append(strings.Fields("idle"+day), "--kubeconfig="+kubeconfig(t, server, "shop", "shop"))...)
	if status != exitFailed || out != "" || !strings.Contains(stderr, "Forbidden") {
		t.Errorf("a tenant: status %d\n%s\n%s", status, out, stderr)
	}
	for _, args := range []string{"idle --by year", "idle -o parquet", "idle x"} {
		if status, _, _ := run(append(strings.Fields(args), "--kubeconfig=x")...); status != exitMisused {
			t.Errorf("%s: status %d", args, status)
		}
	}
}

// A month of a cluster fits a terminal; what is left out there is in the words below the table.
func TestIdleFitsATerminal(t *testing.T) {
	var out, said bytes.Buffer
	c := &cli{IOStreams: genericiooptions.IOStreams{Out: &out, ErrOut: &said}, width: 80}
	figure := func(n string) *wire.Figure { return &wire.Figure{Quantity: n, Exact: "1"} }
	d := wire.CapacityDimension{Dimension: "memory", Unit: "GiB-hour"}
	d.Total = wire.CapacityFigures{
		Capacity: figure("99999.311111"), Attributed: figure("12345.528333"), Unattributed: figure("1234.5"), Idle: figure("86419.782778"), Beyond: figure("0"), UnknownSeconds: 2505730,
	}
	if err := c.printTable(capacityTable(&wire.Capacity{Dimensions: []wire.CapacityDimension{d}}, false), false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// A month whose beginning was not seen is compared as far as it is known, and each figure says so:
// also that of what has none.
func TestChangesSayHowWellTheyAreKnown(t *testing.T) {
	server := cluster(t)
	shop := kubeconfig(t, server, "shop", "shop")
	const partly = "diff resources --dimension vcpu --against-from=2026-10-31T00:00:00Z --against-to=2026-11-02T00:00:00Z --from=2026-11-02T00:00:00Z --to=2026-11-04T00:00:00Z --kubeconfig="
	status, out, stderr := run(strings.Fields(partly + shop)...)
	const want = `
METRIC    NAMESPACE   RESOURCE             BEFORE   AFTER   CHANGE        %   UNIT
vm.vcpu   shop        web-1                    0?      96     +96?        -   core-hour
vm.vcpu   shop        web-0                   56?     ~40     -16?   -28.6%   core-hour
vm.vcpu   shop        =cmd|' /C calc'!A0       0?      12     +12?        -   core-hour
`
	if status != exitDone || out != want[1:] || !strings.Contains(stderr, "?  partial") || !strings.Contains(stderr, "50% are known: metering began at 2026-11-01T00:00:00Z") {
		t.Errorf("status %d\n%s\n%s\nwant\n%s", status, out, stderr, want[1:])
	}
	status, out, stderr = run(strings.Fields(partly + shop + " -o csv")...)
	if status != exitDone || stderr != "" {
		t.Errorf("status %d\n%s\n%s", status, out, stderr)
	}
	status, out, stderr = run(strings.Fields(partly + shop + " -o jsonpath={.changes[0].beforeAccuracy}")...)
	if status != exitDone || out != "Partial" {
		t.Errorf("by a template: status %d\n%s\n%s", status, out, stderr)
	}
	status, out, stderr = run(strings.Fields("idle -o jsonpath={.dimensions[*].dimension} --kubeconfig=" + kubeconfig(t, server, "admin", "shop"))...)
	if status != exitDone || out != "cpu memory gpu" {
		t.Errorf("idle by a template: status %d\n%s\n%s", status, out, stderr)
	}
}
