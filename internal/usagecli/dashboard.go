package usagecli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// dashboard is kubectl usage dashboard.
func (c *cli) dashboard() *cobra.Command {
	var (
		port    int
		browser bool
	)
	command := &cobra.Command{
		Use:   "dashboard",
		Short: "Show the page of the usage API in a browser, until Ctrl-C.",
		Long: `Show the page of the usage API in a browser, until Ctrl-C.

It listens on this machine alone, and asks the usage API with your kubeconfig's
credentials, which the browser never has. The address that it prints has a
secret that is good for one browser, once.`,
		Example: "  kubectl usage dashboard\n  kubectl usage dashboard --browser=false --port 8001",
		Args:    exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, err := c.connect(cmd.Context())
			if err != nil {
				return err
			}
			// It is found out now whether there is an operator, and what it says of the caller.
			if err := to.ask(cmd.Context(), http.MethodGet, "ui/session", nil, nil, &struct{}{}); err != nil {
				return err
			}
			listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return fmt.Errorf("--port: %w", err)
			}
			page := newLocalPage(to, listener.Addr().String())
			fmt.Fprintf(c.Out, "The page is at %s\nIt ends with Ctrl-C.\n", page.address())
			if browser {
				openBrowser(cmd.Context(), page.address())
			}
			return page.serve(cmd.Context(), listener)
		},
	}
	command.Flags().IntVar(&port, "port", 0, "The port to listen on, on 127.0.0.1. 0: any that is free.")
	command.Flags().BoolVar(&browser, "browser", true, "Open the browser.")
	return command
}

// localPage passes the page's requests on to the usage API, with the caller's credentials. The
// browser that came with the secret has a cookie; nothing else on this machine is served.
type localPage struct {
	host    string // as the browser has to say it, which no name of another site is
	secret  string
	used    atomic.Bool
	session string
	proxy   http.Handler
}

// localCookie is the name of the browser's cookie.
const localCookie = "usage-dashboard"

// passedOn are the paths that the page needs.
var passedOn = []string{"/ui/", "/v1alpha1/", "/openapi.json"}

func newLocalPage(to *connection, host string) *localPage {
	p := &localPage{host: host, secret: rand.Text(), session: rand.Text()}
	p.proxy = &httputil.ReverseProxy{
		Transport: to.client.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL = to.base.JoinPath(r.In.URL.Path)
			r.Out.URL.Path = "/" + strings.TrimPrefix(r.Out.URL.Path, "/") // a base without a path has none
			r.Out.URL.RawQuery, r.Out.Host = r.In.URL.RawQuery, ""
			// What identifies the browser here is no credential there.
			for _, name := range []string{"Cookie", "Authorization", wire.TokenHeader, "Origin", "Referer"} {
				r.Out.Header.Del(name)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Del("Set-Cookie")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, `{"code":"unreachable","message":%q}`, "the usage API cannot be reached: "+err.Error())
		},
	}
	return p
}

// address has the secret.
func (p *localPage) address() string { return "http://" + p.host + "/?secret=" + p.secret }

// ServeHTTP is http.Handler's.
func (p *localPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Host != p.host: // a name that another site has made this machine's
		http.Error(w, "this is not the address that kubectl usage dashboard printed", http.StatusMisdirectedRequest)
	case r.URL.Path == "/":
		p.enter(w, r)
	case !p.knows(r):
		http.Error(w, "open the address that kubectl usage dashboard printed; it is good for one browser, once: run it again for another", http.StatusForbidden)
	case !slices.ContainsFunc(passedOn, func(prefix string) bool { return strings.HasPrefix(r.URL.Path, prefix) }) || strings.Contains(r.URL.Path, ".."):
		http.NotFound(w, r)
	default:
		p.proxy.ServeHTTP(w, r)
	}
}

// enter gives the first browser that has the secret a cookie for it.
func (p *localPage) enter(w http.ResponseWriter, r *http.Request) {
	good := subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("secret")), []byte(p.secret)) == 1
	if !p.knows(r) {
		if !good || !p.used.CompareAndSwap(false, true) {
			http.Error(w, "this address is not good, or not any more: run kubectl usage dashboard again", http.StatusForbidden)
			return
		}
		//nolint:gosec // it is of http://localhost: a Secure one would not be sent
		http.SetCookie(w, &http.Cookie{Name: localCookie, Value: p.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "/ui/", http.StatusSeeOther)
}

// knows tells whether the request is of the browser that had the secret, and not made for
// another site.
func (p *localPage) knows(r *http.Request) bool {
	cookie, err := r.Cookie(localCookie)
	return err == nil && subtle.ConstantTimeCompare([]byte(cookie.Value), []byte(p.session)) == 1 && http.NewCrossOriginProtection().Check(r) == nil
}

// headerTime is how long a browser may take to send a request's header.
const headerTime = 10 * time.Second

// serve serves until the context is done.
func (p *localPage) serve(ctx context.Context, listener net.Listener) error {
	server := &http.Server{Handler: p, ReadHeaderTimeout: headerTime}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// openBrowser opens an address, if there is a browser: it is printed, too.
func openBrowser(ctx context.Context, address string) {
	name, args := "xdg-open", []string{address}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	_ = exec.CommandContext(ctx, name, args...).Start() //nolint:gosec // no shell; the address is made here
}
