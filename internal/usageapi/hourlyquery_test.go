package usageapi

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestQueriesThatMeanTheSame(t *testing.T) {
	for _, same := range [][]string{
		{`deployment=web`, `web`, `"web"`, `{deployment="web"}`, ` deployment = "web" `, `DEPLOYMENT in (web)`, `deployment in ("web", web)`},
		{`container=a,dimension=cpu`, `container=a and dimension=cpu`, `container=a AND dimension=cpu`, `container=a dimension=cpu`, `{container="a", dimension="cpu"}`},
		{`deployment=""`, `deployment in ("")`},
		{``, ` `, `{}`},
	} {
		want, err := parseHourlyQuery(same[0])
		if err != nil {
			t.Errorf("%s: %v", same[0], err)
			continue
		}
		for _, text := range same[1:] {
			got, err := parseHourlyQuery(text)
			if err != nil || !equalFilters(got, want) {
				t.Errorf("%s is %+v, %v: want what %s is, %+v", text, got, err, same[0], want)
			}
		}
	}
}

func TestQueriesThatMeanNothing(t *testing.T) {
	for text, says := range map[string]string{
		`deployment`:                     "", // the deployment of that name
		`deployment=web,`:                "the end is where a condition should begin",
		`deployment=web and`:             "the end is where a condition should begin",
		`{deployment=web`:                "the end is where } should be",
		`{deployment=web} x`:             `"x" comes after the end`,
		`deployment=web}`:                `"}" comes after the end`,
		`deployment=web deployment=db`:   "deployment is there twice",
		`deployment in web`:              `"web" is where ( should be`,
		`deployment in (web`:             "the end is where , or ) should be",
		`deployment in ()`:               `")" is where a value should be`,
		`from in (2026-11-01T00:00:00Z)`: `after from comes "in"`,
		`from=""`:                        "from is empty",
		`deployment="web`:                `"\"web" is where a value should be`,
		`deployment!=web`:                `after deployment comes "!"`,
		`deployment=*`:                   `"*" is where a value should be`,
		`web db`:                         `"web" is none of from`,
		`"web" db`:                       `"web" is where a condition should begin`,
		`*`:                              `"*" is where a condition should begin`,
	} {
		_, err := parseHourlyQuery(text)
		switch {
		case says == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("%s: %v, want %s", text, err, says)
		}
	}
}

func equalFilters(a, b *hourlyFilter) bool {
	return a.from == b.from && a.to == b.to && slices.Equal(a.deployments, b.deployments) && slices.Equal(a.containers, b.containers) &&
		slices.Equal(a.resourceTypes, b.resourceTypes) && slices.Equal(a.dimensions, b.dimensions)
}

// text is a query that means the filter.
func (f *hourlyFilter) text() string {
	quote := func(value string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	var conditions []string
	for name, value := range map[string]string{"from": f.from, "to": f.to} {
		if value != "" {
			conditions = append(conditions, name+"="+quote(value))
		}
	}
	for name, values := range map[string][]string{
		"deployment": f.deployments, "container": f.containers, "resource_type": f.resourceTypes, "dimension": f.dimensions,
	} {
		if len(values) == 0 {
			continue
		}
		quoted := make([]string, len(values))
		for i, value := range values {
			quoted[i] = quote(value)
		}
		conditions = append(conditions, name+" in ("+strings.Join(quoted, ", ")+")")
	}
	return strings.Join(conditions, ", ")
}

func FuzzHourlyQuery(f *testing.F) {
	for _, text := range []string{"", "web", `{deployment="a\"b", container in (a, "")}`, "from=2026-11-01T00:00:00Z and to=2026-11-02T00:00:00+01:00", `"`, "{}", "in=in"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := parseHourlyQuery(text)
		if err != nil {
			if message := err.Error(); !strings.HasPrefix(message, "query: ") || utf8.ValidString(text) && !utf8.ValidString(message) {
				t.Errorf("%q: %q is no message", text, message)
			}
			return
		}
		again, err := parseHourlyQuery(filter.text())
		if err != nil || !equalFilters(filter, again) {
			t.Errorf("%q is %+v; %q, which means that, is %+v, %v", text, filter, filter.text(), again, err)
		}
	})
}
