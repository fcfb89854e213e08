package usagecli

import (
	"strings"
	"testing"
)

// Figures reach up to a moment that is before that at which somebody asks: at noon, up to the midnight
// before. Each command says which moment it is, and none that it is now.
func TestUpToWhenThereAreFiguresIsSaid(t *testing.T) {
	server := cluster(t)
	shop := " --kubeconfig=" + kubeconfig(t, server, "shop", "shop")
	const want = "Final up to 2026-11-03T23:00:00Z; the rest as of 2026-11-04T00:00:00Z.\n"
	for _, command := range []string{"list", "top", "diff", "chart deploy/web", "get vm/web-1", "explain vm/web-1"} {
		status, out, stderr := run(strings.Fields(command + " --last=3d" + shop)...)
		if status != exitDone || strings.Count(stderr, want) != 1 || strings.Contains(stderr, "as of now") {
			t.Errorf("%s: status %d\n%s\n%s\nwant %s", command, status, out, stderr, want)
		}
	}
	// So far nothing was used: of the rest of November that is not said.
	status, out, stderr := run(strings.Fields("list --type vm --dimension memory --from=2026-11-03T00:00:00Z --to=2026-12-01T00:00:00Z" + shop)...)
	if status != exitDone || !strings.Contains(stderr, "from 2026-11-03T00:00:00Z to 2026-11-04T00:00:00Z") || strings.Contains(stderr, "2026-12") {
		t.Errorf("nothing so far: status %d\n%s\n%s", status, out, stderr)
	}
}

// What is not counted yet is compared with nothing: who holds as much as before shows no change,
// whenever somebody asks.
func TestWhatIsNotCountedYetIsNoChange(t *testing.T) {
	server := cluster(t)
	admin := " --kubeconfig=" + kubeconfig(t, server, "admin", "bank")
	status, out, stderr := run(strings.Fields("diff --dimension vcpu --last 1d -o jsonpath={.changes[*].change}" + admin)...)
	if status != exitDone || out != "0" {
		t.Errorf("status %d, %q, %s: want that nothing changed", status, out, stderr)
	}
}

// A time that has begun, and of which there are no figures yet, is not one that has not begun.
func TestATimeOfWhichThereAreNoFiguresYetHasBegun(t *testing.T) {
	server := cluster(t)
	admin := " --kubeconfig=" + kubeconfig(t, server, "admin", "shop")
	for window, want := range map[string]string{
		" --last 1h": "There are no figures yet",
		" --from=2026-12-01T00:00:00Z --to=2026-12-02T00:00:00Z": "The time has not begun: ",
	} {
		for _, command := range []string{"list", "top", "diff", "chart", "idle", "get vm/web-1", "explain vm/web-1", "records"} {
			status, out, stderr := run(strings.Fields(command + window + admin)...)
			if status != exitDone || strings.TrimSpace(out) != "" || !strings.Contains(stderr, want) {
				t.Errorf("%s%s: status %d\n%s\n%s\nwant %s", command, window, status, out, stderr, want)
			}
		}
	}
	status, _, stderr := run(strings.Fields("get vm/web-1 --at now" + admin)...)
	if status != exitDone || !strings.Contains(stderr, "no figures yet from 2026-11-04T12:00:00Z to 2026-11-04T12:00:01Z: kubectl usage status says") {
		t.Errorf("now: status %d, %s", status, stderr)
	}
}

// A tenant who asks about all namespaces learns that the answer is about some: also where nothing
// was used in them, and where it is about changes, or records.
func TestATenantIsToldThatTheAnswerIsAboutSomeNamespaces(t *testing.T) {
	server := cluster(t)
	shop, admin := " --kubeconfig="+kubeconfig(t, server, "shop", "shop"), " --kubeconfig="+kubeconfig(t, server, "admin", "shop")
	const want = "Of what you may see, which is in 1 of the namespaces"
	for _, command := range []string{
		"list -A " + november, "top ns -A " + november, "diff ns -A " + november, "chart -A " + november, "records -A " + november,
		"list -A" + idle, "top ns -A" + idle, "chart -A" + idle, "records -A" + idle,
		"diff ns -A" + idle + " --against-from=2026-11-01T01:00:00Z --against-to=2026-11-01T05:00:00Z",
	} {
		status, out, stderr := run(strings.Fields(command + shop)...)
		if status != exitDone || strings.Count(stderr, want) != 1 {
			t.Errorf("%s: status %d\n%s\n%s\nwant %s", command, status, out, stderr, want)
		}
		for _, other := range []string{strings.Replace(command, " -A", "", 1) + shop, command + admin} {
			if status, _, stderr := run(strings.Fields(other)...); status != exitDone || strings.Contains(stderr, "may see, which") {
				t.Errorf("%s: all that was asked about is seen: status %d, %s", other, status, stderr)
			}
		}
	}
}

// Who named no namespace may have meant another: how to name it is said.
func TestWhereTheKubeconfigsNamespaceIsAskedItIsSaid(t *testing.T) {
	server := cluster(t)
	admin := " --kubeconfig=" + kubeconfig(t, server, "admin", "shop")
	for command, says := range map[string]string{
		"list" + idle:          "That is the namespace of your kubeconfig: -n names another, -A is all that you may see.\n",
		"get vm/db":            `in namespace shop nothing was ever recorded under a resource "db"`,
		"list --deployment db": `in namespace shop nothing was ever recorded under a deployment "db"`,
	} {
		_, out, stderr := run(strings.Fields(command + admin)...)
		if out != "" || !strings.Contains(stderr, says) || !strings.Contains(stderr, "-n names another, -A is all") {
			t.Errorf("%s: %s%s\nwant %s", command, out, stderr, says)
		}
		if _, out, stderr := run(strings.Fields(command + " -n shop" + admin)...); out != "" || strings.Contains(stderr, "-n names") {
			t.Errorf("%s: the namespace was named: %s%s", command, out, stderr)
		}
	}
}

// Each wrong command line says what is wrong, in words of the command line, and what to do next.
func TestWhatIsWrongWithACommandLine(t *testing.T) {
	server := cluster(t)
	shop := " --kubeconfig=" + kubeconfig(t, server, "shop", "shop")
	for command, says := range map[string]string{
		"list --type vmm":                        "error: there is no resource type \"vmm\": did you mean \"vm\"?",
		"get vmm/web-0":                          "error: there is no resource type \"vmm\": did you mean \"vm\"?",
		"list --dimensoin vcpu":                  "unknown flag: --dimensoin: did you mean --dimension?\nSee kubectl usage list --help.\n",
		"list --as=admin":                        "the usage API does not take a client's word",
		"report":                                 "error: want a report's name\nSee kubectl usage report --help.\n",
		"report a b":                             "error: want a report's name, and no more: not \"a b\"\nSee kubectl usage report --help.\n",
		"meter tst":                              "error: there is no command \"tst\": did you mean \"test\"?",
		"meter test x.yaml":                      "\nSee kubectl usage meter test --help.\n",
		"get vm/web-0 --interval x":              "or an interval's label: 20261101T1000Z",
		"records --interval 20251101":            "or an interval's label",
		"get vm/web-0 --interval=20251101T1000Z": "there are none from before metering began",
		"get vm/web-0 --interval=20261201T1000Z": "what comes after is asked for with from and to",
	} {
		status, out, stderr := run(strings.Fields(command + shop)...)
		if status != exitMisused || out != "" || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %d, %q\n%s\nwant %s", command, status, out, stderr, says)
		}
	}
	for command, says := range map[string]string{
		"idle":                "ask for a ClusterRoleBinding to the ClusterRole view",
		"report idle -n bank": "ask for a RoleBinding there to the ClusterRole view",
	} {
		if status, out, stderr := run(strings.Fields(command + shop)...); status != exitFailed || out != "" || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %d, %q\n%s\nwant %s", command, status, out, stderr, says)
		}
	}
}
