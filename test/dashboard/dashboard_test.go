// Package dashboard_test looks at the page with a real browser, on the usage API itself and a
// ledger's content: each view, each state, for whom it is, and whether all can use it.
package dashboard_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const fortnight = "?from=2026-11-06T00:00:00Z&to=2026-11-21T12:30:00Z"

// views are all of them, of somebody who sees everything.
var views = map[string]string{
	"overview":   "overview" + fortnight,
	"tenant":     "tenant/shop" + fortnight,
	"deployment": "deployment/bank/ledger" + fortnight,
	"resource":   "resource/uid-render" + fortnight,
	"reports":    "reports",
	"health":     "health" + fortnight,
	"export":     "export/shop" + fortnight + "&metric=container.cpu",
}

// axe is the accessibility checker's script: of ui/'s lock file.
var axe = sync.OnceValues(func() (string, error) {
	const path = "../../ui/node_modules/axe-core/axe.min.js"
	if text, err := os.ReadFile(path); err == nil {
		return string(text), nil
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	npm.Dir = "../../ui"
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	text, err := os.ReadFile(path)
	return string(text), err
})

// accessible checks a page with axe.
func (v *viewer) accessible(what string) {
	v.t.Helper()
	script, err := axe()
	if err != nil {
		if os.Getenv("CI") != "" {
			v.t.Fatalf("axe-core cannot be installed: %v", err)
		}
		v.t.Logf("%s IS NOT CHECKED FOR ACCESSIBILITY: axe-core cannot be installed with npm: %v", what, err)
		return
	}
	v.run(chromedp.Evaluate(script+";0", nil))
	found := eval[string](v, `(() => { window.found = null; axe.run().then((r) => { window.found = r.violations.map((x) => x.id + ': ' + x.help + ': ' + x.nodes.map((n) => n.html.slice(0, 150)).join(' | ')).join('\n') }); return '' })()`)
	v.run(chromedp.Poll(`window.found !== null`, nil, chromedp.WithPollingTimeout(patience)), chromedp.Evaluate(`window.found`, &found))
	if found != "" {
		v.t.Errorf("%s: axe finds\n%s", what, found)
	}
}

// Each view is shown in light and dark, at three widths, without an error in the console, a
// request to another host, or anything that some cannot use.
func TestEachView(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("admin")
	for name, view := range views {
		for _, theme := range []string{"light", "dark"} {
			v.run(chromedp.EmulateViewport(1024, 800))
			v.look(view)
			for _, width := range []int64{1920, 1024, 390} {
				v.shoot(name, theme, width)
			}
			v.accessible(name + ", " + theme) // on a phone
		}
		v.well(name)
	}
	v.run(chromedp.Click(`.who button:last-child`), chromedp.WaitVisible(`.login`))
	for _, theme := range []string{"light", "dark"} {
		v.shoot("login", theme, 1024)
		v.accessible("login, " + theme)
	}
	v.well("login")
}

// states are what there is instead of figures: each says which it is.
var states = map[string]struct{ token, view, says string }{
	"unknown":                  {"shop", "tenant/shop?from=2026-10-01T00:00:00Z&to=2026-10-02T00:00:00Z", "Unknown"},
	"zero":                     {"admin", "tenant/lab?from=2026-11-09T00:00:00Z&to=2026-11-09T10:00:00Z", "Nothing was used"},
	"a namespace not visible":  {"shop", "tenant/bank" + fortnight, "Not visible to you"},
	"no such namespace":        {"admin", "tenant/shpo" + fortnight, "No such name"},
	"no such deployment":       {"bank", "deployment/bank/ledgr" + fortnight, "did you mean"},
	"no such resource":         {"bank", "resource/uid-nosuch" + fortnight, "No such name"},
	"another tenant's":         {"bank", "resource/uid-render" + fortnight, "No such name"},
	"a window that is none":    {"bank", "tenant/bank?from=2026-11-07T00:00:00Z&to=2026-11-01T00:00:00Z", "choose another"},
	"no such view":             {"bank", "nosuch", "There is no such view"},
	"it has not begun":         {"bank", "tenant/bank?from=2027-01-01T00:00:00Z&to=2027-02-01T00:00:00Z", "It has not begun"},
	"nobody's":                 {"nobody", "overview" + fortnight, "Not visible to you"},
	"capacity, for a tenant":   {"shop", "overview" + fortnight, "shown to those who may see all namespaces"},
	"a part that is unknown":   {"bank", "tenant/bank" + fortnight, "is unknown, and in no figure"},
	"a first month":            {"admin", "overview?last=90d", "the figures are from then on"},
	"a resource held nothing":  {"shop", "resource/uid-render?from=2026-11-20T00:00:00Z&to=2026-11-20T10:00:00Z", "held nothing in this time"},
	"unknown, of the cluster":  {"admin", "overview?from=2026-10-01T00:00:00Z&to=2026-10-02T00:00:00Z", "Unknown: in this time"},
	"unknown, of a resource":   {"shop", "resource/uid-render?from=2026-10-01T00:00:00Z&to=2026-10-02T00:00:00Z", "Unknown"},
	"no reports":               {"bank", "reports", "There is no report"},
	"reports, not visible":     {"meterer", "reports/shop", "Not visible to you: UsageReports"},
	"reports of another":       {"shop", "reports/bank", "Not visible to you"},
	"reports of no namespace":  {"admin", "reports/shpo", "No such name"},
	"a month that is all seen": {"admin", "health?from=2026-11-19T00:00:00Z&to=2026-11-20T00:00:00Z", "every meter saw all of this time"},
}

func TestEachState(t *testing.T) {
	server, _ := serve(t)
	byToken := map[string]*viewer{}
	for name, state := range states {
		v := byToken[state.token]
		if v == nil {
			v = open(t, server.URL)
			v.logIn(state.token)
			byToken[state.token] = v
		}
		v.look(state.view)
		if shown := v.text("main"); !strings.Contains(shown, state.says) {
			t.Errorf("%s: it does not say %q:\n%s", name, state.says, shown)
		}
		v.accessible(name)
		v.shoot("state-"+strings.ReplaceAll(name, " ", "-"), "light", 1024)
		v.well(name)
	}
}

// What fails says so, keeps what was shown, and is asked again.
func TestWhatFailsIsSaid(t *testing.T) {
	server, cluster := serve(t)
	v := open(t, server.URL)
	v.logIn("admin")
	cluster.loading.Store(true)
	v.run(chromedp.Navigate(server.URL+"/ui/#/health"), chromedp.Reload(), chromedp.WaitVisible(".state"))
	if shown := v.text("main"); !strings.Contains(shown, "the ledger is being loaded") {
		t.Errorf("while it is loaded it says\n%s", shown)
	}
	cluster.loading.Store(false)
	v.run(chromedp.Click(".state button"), chromedp.WaitVisible(".metrics"))
	cluster.broken.Store(true)
	v.run(chromedp.Click(".window > button"), chromedp.WaitVisible(".banner.warn"))
	if shown := v.text("main"); !strings.Contains(shown, "This is the last answer") || !strings.Contains(shown, "Seal lag") {
		t.Errorf("when asking again fails it says\n%s", shown)
	}
	cluster.broken.Store(false)
	v.well("failing")
}

// Names are what tenants make them: they are text on every view, and in what is exported.
func TestHostileNamesAreText(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("shop")
	for _, view := range []string{
		"tenant/shop" + fortnight + "&metric=container.cpu", "tenant/shop" + fortnight + "&metric=container.cpu&group=resource",
		"deployment/shop/" + url.PathEscape(hostile) + fortnight, "resource/" + url.PathEscape("uid-"+hostile) + fortnight,
		"reports/shop", "export/shop/" + url.PathEscape(hostile) + fortnight,
	} {
		v.look(view)
		if shown := v.text("main"); !strings.Contains(shown, hostile) && !strings.Contains(shown, `<img src=x onerror=alert(1)>`) {
			t.Errorf("%s: the name is not shown:\n%s", view, shown)
		}
		if n := eval[int](v, `document.querySelectorAll('img, iframe, object, embed').length`); n > 0 {
			t.Errorf("%s: a name made %d elements", view, n)
		}
		v.well(view)
	}
}

// A resource is explained with the keyboard alone.
func TestASegmentIsExplainedByKeyboard(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("shop")
	v.look(views["resource"])
	v.run(chromedp.Focus(`.segment:nth-of-type(3)`, chromedp.ByQuery), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(".why"))
	if shown := v.text(".why"); !strings.Contains(shown, "between two moments") || !strings.Contains(shown, "self.spec.cores") || !strings.Contains(shown, "768 core-hours") {
		t.Errorf("it explains\n%s", shown)
	}
	v.accessible("a segment")
	v.shoot("explain", "light", 1024)
	v.well("a segment")
}
