package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// named is a timeline of two namespaces, and of a meter that has measured nothing yet.
func named() *timeline.Snapshot {
	change := func(namespace, deployment, name, class string, d usage.Dimension) usage.Change {
		c := held(name, second0, second0+3600)
		of := *c.Subject
		of.Account = usage.Account{Namespace: namespace, NamespaceUID: namespace, Deployment: deployment}
		of.Region, of.Attributes, of.Container = "eu-1", usage.NewAttributes(map[string]string{"class": class}), "app-"+name
		c.Subject, c.Dimension = &of, d
		return c
	}
	vcpu, storage := usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "storage", Unit: usage.Byte}
	line := timeline.New()
	apply(line, timeline.Commit{
		Time: second0 + 7200,
		Meters: []timeline.Meter{
			{Name: "vm", ResourceType: "vm", Since: second0, Dimensions: []usage.Dimension{vcpu}},
			{Name: "volume", ResourceType: "volume", Since: second0, Dimensions: []usage.Dimension{storage}},
		},
		Changes: []usage.Change{
			change("shop", "web", "a", "fast", vcpu), change("shop", "", "b", "", vcpu),
			change("bank", "ledger", "c", "slow", usage.Dimension{Name: "device/nvidia.com", Unit: usage.Count}),
		},
		Sealed: []usage.Window{{Start: second0, End: second0 + 3600}},
	})
	return line.Snapshot()
}

func TestNamesThatThereAreNotAreSaid(t *testing.T) {
	s := named()
	shop := []timeline.NamespaceRef{{Name: "shop"}}
	cases := []struct {
		name string
		f    timeline.Filters
		says string // "": there is what is named
	}{
		{"nothing is named", timeline.Filters{}, ""},
		{"all there", timeline.Filters{ResourceTypes: []string{"vm"}, Dimensions: []string{"vcpu"}, Deployments: []string{"web", ""}, Regions: []string{"eu-1"}, Resources: []string{"a"}, Containers: []string{"app-a"}}, ""},
		{"what a meter measures is there though nothing was measured", timeline.Filters{ResourceTypes: []string{"volume"}}, ""},
		{"a type", timeline.Filters{ResourceTypes: []string{"vmm"}}, `there is no resource type "vmm": did you mean "vm"? there are vm, volume`},
		{"two letters that changed places", timeline.Filters{ResourceTypes: []string{"mv"}}, `did you mean "vm"?`},
		{"nothing like it", timeline.Filters{ResourceTypes: []string{"teapot"}}, `there is no resource type "teapot"; there are vm, volume`},
		{"a dimension", timeline.Filters{Dimensions: []string{"cpuu"}}, `there is no dimension "cpuu": did you mean "vcpu"?`},
		{"a dimension that another type has", timeline.Filters{ResourceTypes: []string{"vm"}, Dimensions: []string{"storage"}}, `there is no dimension "storage"; there are`},
		{"a dimension of something", timeline.Filters{Dimensions: []string{"device"}}, ""},
		{"in full", timeline.Filters{Dimensions: []string{"device/nvidia.com"}}, ""},
		{"a dimension that another namespace has", timeline.Filters{Namespaces: shop, Dimensions: []string{"device"}}, "there are storage, vcpu"},
		{"a deployment", timeline.Filters{Deployments: []string{"web", "nosuch"}}, `nothing was ever recorded under a deployment "nosuch"; there are ledger, web`},
		{"a deployment of another namespace", timeline.Filters{Namespaces: shop, Deployments: []string{"ledger"}}, `deployment "ledger"; there are web`},
		{"of no namespace", timeline.Filters{Namespaces: []timeline.NamespaceRef{}, Deployments: []string{"web"}}, "there is none"},
		{"a region", timeline.Filters{Regions: []string{"eu-2"}}, `did you mean "eu-1"?`},
		{"an attribute", timeline.Filters{Attributes: map[string][]string{"class": {"", "fas"}}}, `a class "fas": did you mean "fast"?`},
		{"an attribute that nothing has", timeline.Filters{Attributes: map[string][]string{"colour": {"red"}}}, `a colour "red"; there is none`},
		{"a resource", timeline.Filters{Resources: []string{"z"}}, `a resource "z"; there are a, b, c`},
		{"a container", timeline.Filters{Namespaces: shop, Containers: []string{"", "app-c"}}, `a container "app-c": did you mean`},
	}
	for _, c := range cases {
		err := s.Check(t.Context(), &c.f)
		if err == nil {
			err = s.CheckHolders(t.Context(), &c.f)
		}
		_, is := errors.AsType[*timeline.NoSuchName](err)
		if c.says == "" && err != nil || c.says != "" && (!is || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v: want %q", c.name, err, c.says)
		}
	}
}

func TestALongListOfNamesIsCut(t *testing.T) {
	known := []string{}
	for range 1000 {
		known = append(known, strings.Repeat("n", 253))
	}
	err := &timeline.NoSuchName{Key: timeline.Deployment, Name: strings.Repeat("m", 253), Known: known}
	if text := err.Error(); len(text) > 13*270 || !strings.HasSuffix(text, "and 988 more") {
		t.Errorf("%d bytes", len(text))
	}
}

func TestWhatIsKnownSinceItsMeterBegan(t *testing.T) {
	line := timeline.New()
	vcpu := []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}
	began := second0 + 1800
	known := held("new", began+60, began+120)
	before := held("old", began, began+120)
	before.Start.Evidence = usage.MeteringStarted
	lost := held("lost", began+60, began+120)
	lost.End.Slack = 10
	apply(line, timeline.Commit{
		Time: second0 + 7200, Meters: []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: began, Dimensions: vcpu}},
		Changes: []usage.Change{known, before, lost}, Sealed: []usage.Window{{Start: second0, End: second0 + 7200}},
	})
	q := timeline.Query{Window: usage.Window{Start: second0, End: second0 + 7200}, Size: timeline.None, GroupBy: []timeline.Key{timeline.Resource}}
	tally, err := timeline.NewTally(q)
	if err == nil {
		err = tally.Advance(line.Snapshot(), second0+7200)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := tally.Page("", 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []usage.Accuracy
	for _, row := range p.Rows {
		if row.Accuracy != usage.Partial {
			t.Errorf("%v: want Partial: half an hour is unknown", row)
		}
		got = append(got, row.Since)
	}
	if want := []usage.Accuracy{usage.Estimated, usage.Exact, usage.Partial}; !slices.Equal(got, want) {
		t.Errorf("lost, new, old are %v since the meter began, want %v", got, want)
	}
	if c := tally.Coverage(); c.Began != began || c.Unknown != 1800 {
		t.Errorf("%+v: want that it began at %d", c, began)
	}
}

// A question for a name of very many accounts leaves the processor to others meanwhile.
func TestNamesOfManyAccountsAreLookedForInTurns(t *testing.T) {
	const accounts = 10_000
	c := timeline.Commit{Time: second0 + 7200}
	for i := range accounts {
		change := held("vm", second0, second0+3600)
		of := *change.Subject
		of.Deployment = fmt.Sprint("d", i)
		change.Subject = &of
		c.Changes = append(c.Changes, change)
	}
	line := timeline.New()
	load(line, c)
	s := line.Snapshot()
	for name, check := range map[string]func(ctx context.Context) error{
		"names": func(ctx context.Context) error {
			return s.Check(ctx, &timeline.Filters{Deployments: []string{"no-such"}})
		},
		"keys": func(ctx context.Context) error {
			return s.CheckKeys(ctx, &timeline.Filters{}, []timeline.Key{timeline.Attribute("no-such")})
		},
	} {
		counted := &countingPacer{last: 1 << 30}
		err := check(timeline.WithPacer(t.Context(), counted))
		if _, is := errors.AsType[*timeline.NoSuchName](err); !is || counted.pauses < accounts/4096 {
			t.Errorf("%s: %d pauses for %d accounts: %v", name, counted.pauses, accounts, err)
		}
		ended := &countingPacer{last: 1}
		if err := check(timeline.WithPacer(t.Context(), ended)); !errors.Is(err, errPaced) || ended.pauses != 2 {
			t.Errorf("%s: it goes on for %d pauses: %v", name, ended.pauses, err)
		}
	}
}
