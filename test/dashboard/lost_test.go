package dashboard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// refresh asks again for what is shown, as the page does each half minute.
func (v *viewer) refresh(until string) {
	v.t.Helper()
	v.run(chromedp.Click(".window > button"), chromedp.WaitVisible(until, chromedp.ByQuery), v.settled())
}

// A token that expires brings the login back, and what was open is there again after it.
func TestATokenThatExpiresKeepsWhatWasOpen(t *testing.T) {
	server, cluster := serve(t)
	v := open(t, server.URL)
	v.logIn("shop")
	view := "tenant/shop" + fortnight + "&metric=vm.vcpu&group=resource"
	v.look(view)
	before := v.text("main")
	cluster.revoked.Store(true)
	v.run(chromedp.Click(".window > button"), chromedp.WaitVisible(".login"))
	if shown := v.text("main"); strings.Contains(shown, "render") {
		t.Errorf("beside the login there are figures:\n%s", shown)
	}
	cluster.revoked.Store(false)
	// A token that was refused is refused for some seconds: this is the next one.
	v.run(chromedp.SendKeys(`input[name=token]`, "shop-renewed"), chromedp.Click(`.login button`), chromedp.WaitVisible(".metrics"), v.settled())
	if at := eval[string](v, "location.hash"); at != "#/"+view {
		t.Errorf("what was open is now %s", at)
	}
	if after := v.text("main"); after != before {
		t.Errorf("it shows\n%s\nand before\n%s", after, before)
	}
	v.well("expired")
}

// What may not be seen any more, or is gone, is said, and not shown on as the last answer.
func TestANamespaceThatIsForbiddenOrGoneIsSaid(t *testing.T) {
	server, cluster := serve(t)
	v := open(t, server.URL)
	v.logIn("bank")
	for name, lost := range map[string]func(bool){
		"forbidden": cluster.forbidden.Store, "gone": cluster.gone.Store,
	} {
		for _, view := range []string{"tenant/bank", "deployment/bank/ledger", "resource/uid-db-0", "reports/bank", "export/bank"} {
			v.look(view + fortnight)
			if shown := v.text("main"); strings.Contains(shown, "Not visible") {
				t.Fatalf("%s: it says\n%s", view, shown)
			}
			lost(true)
			cluster.clock.SetTime(cluster.clock.Now().Add(2 * time.Minute)) // what was reviewed counts for one
			v.refresh(".state[role=alert]")                                 // that there is no report is a state, too
			if shown := v.text("main"); !strings.Contains(shown, "Not visible to you") && !strings.Contains(shown, "No such name") || strings.Contains(shown, "last answer") {
				t.Errorf("%s, %s: it says\n%s", view, name, shown)
			}
			if n := eval[int](v, `document.querySelectorAll('canvas, .segment, .metrics').length`); n > 0 {
				t.Errorf("%s, %s: %d charts and figures are left", view, name, n)
			}
			lost(false)
			cluster.clock.SetTime(cluster.clock.Now().Add(2 * time.Minute))
		}
	}
	v.well("lost")
	// Who sees all namespaces sees what one used that is gone.
	cluster.gone.Store(true)
	w := open(t, server.URL)
	w.logIn("admin")
	w.look("tenant/bank" + fortnight)
	if shown := w.text("main"); !strings.Contains(shown, "ledger") {
		t.Errorf("of a namespace that is gone it says\n%s", shown)
	}
	w.well("gone")
}

// colours counts the pixels of the chart's canvas that have a colour, between two parts of its width.
const colours = `((from, to, hex) => {
	const canvas = document.querySelector('.chart canvas')
	const over = document.querySelector('.chart .u-over'), scale = canvas.width / canvas.clientWidth
	const left = over.offsetLeft * scale, wide = over.clientWidth * scale
	const [x, y, w, h] = [left + from * wide, over.offsetTop * scale, (to - from) * wide, over.clientHeight * scale].map(Math.round)
	const pixels = canvas.getContext('2d').getImageData(x, y, w, h).data
	const want = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))
	let n = 0
	for (let i = 0; i < pixels.length; i += 4) if (want.every((c, j) => Math.abs(pixels[i + j] - c) < 3)) n++
	return n
})`

// A window before the ledger is drawn as unknown: hatched, and with nothing of any height.
func TestAWindowBeforeTheLedgerIsDrawnAsUnknown(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("bank")
	v.run(chromedp.EmulateViewport(1024, 800))
	v.look("tenant/bank" + fortnight + "&zone=UTC&by=day&metric=vm.vcpu")
	v.run(chromedp.Poll(`document.querySelector('.chart canvas') && document.querySelector('.chart .u-over')`, nil, chromedp.WithPollingTimeout(patience)))
	const known = 2.0 / 15.520833 // of the chart's width is before the 8th
	for _, c := range []struct {
		from, to string
		hatched  bool
		drawn    bool
	}{
		{"0.01", "0.12", true, false}, {"0.2", "0.5", false, true},
	} {
		hatch, bars := eval[int](v, colours+`(`+c.from+`, `+c.to+`, '#c3c9d2')`), eval[int](v, colours+`(`+c.from+`, `+c.to+`, '#2563a8')`)
		if c.hatched != (hatch > 100) || c.drawn != (bars > 100) {
			t.Errorf("from %s to %s, with %f before the ledger: %d pixels are hatched, %d drawn", c.from, c.to, known, hatch, bars)
		}
	}
	v.well("before the ledger")
}

// saved is what a download has; it is caught before the browser takes it.
func (v *viewer) saved(button string) string {
	v.t.Helper()
	v.run(chromedp.Evaluate(`window.kept = null; URL.createObjectURL = (blob) => { blob.text().then((text) => { window.kept = text }); return '#' }`, nil))
	v.run(chromedp.Evaluate(`[...document.querySelectorAll('button')].find((b) => b.textContent === '`+button+`').click()`, nil),
		chromedp.Poll(`window.kept !== null`, nil, chromedp.WithPollingTimeout(patience)))
	return eval[string](v, `window.kept`)
}

// What is exported says unknown where it is, and has names that are cells, whatever they are.
func TestExportsSayUnknownAndHaveNamesAsData(t *testing.T) {
	server, _ := serve(t)
	v := open(t, server.URL)
	v.logIn("shop")
	v.look("export/shop?from=2026-10-01T00:00:00Z&to=2026-10-03T00:00:00Z&by=day&zone=UTC")
	want := "start_time,end_time,namespace,deployment,resource_type,dimension,exact,exact_unit,accuracy\n" +
		"2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,shop,,,,unknown,,Partial\n2026-10-02T00:00:00Z,2026-10-03T00:00:00Z,shop,,,,unknown,,Partial\n"
	if got := v.saved("Download CSV"); got != want {
		t.Errorf("of time that is unknown it has\n%s", got)
	}
	v.look("export/shop" + fortnight + "&by=day&zone=UTC")
	text := v.saved("Download CSV")
	if !strings.Contains(text, `,shop,"`+strings.ReplaceAll(hostile, `"`, `""`)+`",container,cpu,`) || !strings.Contains(text, ",shop,'=1+1,") {
		t.Errorf("hostile names are not there as cells:\n%s", text)
	}
	v.run(chromedp.Evaluate("history.replaceState(null, '', location.pathname)", nil))
	v.well("exports")
}
