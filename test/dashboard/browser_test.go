package dashboard_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// artifacts is where screenshots are kept.
var artifacts = flag.String("dashboard.artifacts", "", "a folder in which the screenshots of each view are kept; without it they are made, and thrown away")

// patience is how long a page may take to show something, on a machine that does much else.
const patience = 40 * time.Second

var browserPath string

func TestMain(m *testing.M) {
	flag.Parse()
	path, err := exec.Command("../../hack/browser.sh").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "THE PAGE IS NOT TESTED: there is no browser. Install Debian's chromium, or another Chromium, and have it in the PATH.")
		if os.Getenv("CI") != "" {
			os.Exit(1)
		}
		os.Exit(0)
	}
	browserPath = strings.TrimSpace(string(path))
	os.Exit(m.Run())
}

// viewer is a browser's tab, and what went wrong in it.
type viewer struct {
	context.Context
	t    *testing.T
	base string

	mu      sync.Mutex
	wrong   []string
	foreign []string
}

// open opens a browser on a server's page, with its clock as the cluster's.
func open(t *testing.T, base string) *viewer {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browserPath), chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(patience))
	allocated, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	tab, closeTab := chromedp.NewContext(allocated)
	t.Cleanup(closeTab)
	v := &viewer{Context: tab, t: t, base: base}
	v.listen()
	// The browser ends with the context of what is done first.
	if err := chromedp.Run(tab); err != nil {
		t.Fatal(err)
	}
	v.run(
		network.Enable(), log.Enable(), runtime.Enable(), emulation.SetTimezoneOverride("Europe/Berlin"),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, err := page.AddScriptToEvaluateOnNewDocument(fmt.Sprintf("Date.now = () => %d000", now)).Do(ctx)
			return err
		}))
	return v
}

func (v *viewer) listen() {
	chromedp.ListenTarget(v, func(event any) {
		v.mu.Lock()
		defer v.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			v.wrong = append(v.wrong, e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
				v.wrong = append(v.wrong, fmt.Sprintf("%s: %v", e.Type, e.Args[0].Description+string(e.Args[0].Value)))
			}
		case *log.EventEntryAdded:
			// The browser itself writes of each answer that is an error; the views say what it is.
			if e.Entry.Level == log.LevelError && e.Entry.Source != log.SourceNetwork {
				v.wrong = append(v.wrong, e.Entry.Text)
			}
		case *page.EventJavascriptDialogOpening:
			v.wrong = append(v.wrong, "a dialog: "+e.Message)
		case *network.EventRequestWillBeSent:
			if to, err := url.Parse(e.Request.URL); err != nil || to.Scheme == "https" && !strings.HasPrefix(e.Request.URL, v.base) || to.Scheme == "http" {
				v.foreign = append(v.foreign, e.Request.URL)
			}
		}
	})
}

// run does something in the tab.
func (v *viewer) run(actions ...chromedp.Action) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		var shown string
		_ = chromedp.Run(v, chromedp.Evaluate(`document.body.innerText.slice(0, 2000)`, &shown))
		v.t.Fatalf("%v: the page shows\n%s", err, shown)
	}
}

// look shows a view, and waits until it has all its answers.
func (v *viewer) look(view string) {
	v.t.Helper()
	v.run(chromedp.Navigate("about:blank"), chromedp.Navigate(v.base+"/ui/#/"+view), chromedp.WaitVisible("h1"), v.settled())
}

// settled waits until nothing is awaited, and frames are drawn.
func (v *viewer) settled() chromedp.Action {
	return chromedp.Poll(`!document.querySelector('.skeleton') && document.querySelector('h1')`, nil, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience))
}

// logIn logs somebody in with the page's own form.
func (v *viewer) logIn(token string) {
	v.t.Helper()
	v.run(chromedp.Navigate(v.base+"/ui/"), chromedp.WaitVisible(`input[name=token]`), chromedp.SendKeys(`input[name=token]`, token),
		chromedp.Click(`.login button`), chromedp.WaitVisible(`.top nav`))
}

// text is what a selector's first element, or the page, shows.
func (v *viewer) text(selector string) (shown string) {
	v.t.Helper()
	v.run(chromedp.Text(selector, &shown, chromedp.ByQuery))
	return shown
}

// eval is the value of an expression.
func eval[T any](v *viewer, expression string) (value T) {
	v.t.Helper()
	v.run(chromedp.Evaluate(expression, &value))
	return value
}

// shoot keeps a screenshot of the whole page, as wide as that.
func (v *viewer) shoot(name, theme string, width int64) {
	v.t.Helper()
	var picture []byte
	v.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}),
		chromedp.EmulateViewport(width, 800), v.settled(),
		chromedp.Evaluate(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`, nil,
			func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
		chromedp.FullScreenshot(&picture, 100))
	if over := eval[int](v, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		v.t.Errorf("%s, %d px wide: the page is %d px wider", name, width, over)
	}
	if *artifacts == "" {
		return
	}
	if err := os.MkdirAll(*artifacts, 0o755); err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*artifacts, fmt.Sprintf("%s-%s-%d.png", name, theme, width)), picture, 0o644); err != nil {
		v.t.Fatal(err)
	}
}

// well fails the test if anything went wrong in the tab so far.
func (v *viewer) well(what string) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.wrong) > 0 {
		v.t.Errorf("%s: the console has %q", what, v.wrong)
	}
	if len(v.foreign) > 0 {
		v.t.Errorf("%s: it asks other hosts: %q", what, v.foreign)
	}
	v.wrong, v.foreign = nil, nil
}
