package usagecli

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// localPageOf serves the page of a cluster to a token's holder, and returns its address.
func localPageOf(t *testing.T, token string) *localPage {
	t.Helper()
	server := cluster(t)
	c := &cli{config: genericclioptions.NewConfigFlags(true), now: noon, operator: "usage-system", throughProxy: true}
	*c.config.KubeConfig = kubeconfig(t, server, token, "shop")
	to, err := c.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	page := newLocalPage(to, listener.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- page.serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return page
}

// surf makes a request, with more headers in pairs, and returns the status and the body.
func surf(t *testing.T, client *http.Client, method, address string, headers ...string) (int, string) {
	t.Helper()
	body := ""
	if method == http.MethodPost {
		body = `{"period":{"unit":"month"}}`
	}
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// The browser that has the secret sees the page with the kubeconfig's credentials; the secret
// is good once, and nothing else on the machine, and no other site, is served.
func TestTheLocalPageIsForOneBrowser(t *testing.T) {
	page := localPageOf(t, "shop")
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser, other, base := &http.Client{Jar: jar}, &http.Client{}, "http://"+page.host
	if status, _ := surf(t, other, http.MethodGet, base+"/ui/"); status != http.StatusForbidden {
		t.Errorf("without the secret: status %d", status)
	}
	if status, _ := surf(t, other, http.MethodGet, base+"/?secret=guess"); status != http.StatusForbidden {
		t.Errorf("with another secret: status %d", status)
	}
	if status, text := surf(t, browser, http.MethodGet, page.address()); status != http.StatusOK || !strings.Contains(text, `id="app"`) {
		t.Fatalf("status %d: %s", status, text)
	}
	if status, text := surf(t, browser, http.MethodGet, base+"/ui/session"); status != http.StatusOK || !strings.Contains(text, `"user":"shop","loggedIn":false`) {
		t.Errorf("who asks: status %d: %s", status, text)
	}
	if status, text := surf(t, browser, http.MethodPost, base+"/v1alpha1/report", "Authorization", "Bearer admin", "Cookie", "__Host-usage-session=admin"); status != http.StatusOK || !strings.Contains(text, `"visible":"namespaces=1"`) {
		t.Errorf("a report: status %d: %s", status, text)
	}
	if status, _ := surf(t, other, http.MethodGet, page.address()); status != http.StatusForbidden {
		t.Errorf("the secret again: status %d", status)
	}
	othersAreRefused(t, browser, base)
}

// othersAreRefused checks what even the browser with the cookie is refused.
func othersAreRefused(t *testing.T, browser *http.Client, base string) {
	t.Helper()
	for name, c := range map[string]struct {
		method, path string
		headers      []string
		want         int
	}{
		"another site's request":       {http.MethodPost, "/v1alpha1/report", []string{"Origin", "https://evil.test"}, http.StatusForbidden},
		"one by its browser":           {http.MethodPost, "/v1alpha1/report", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		"a name of another site":       {http.MethodGet, "/ui/session", []string{"Host", "evil.test"}, http.StatusMisdirectedRequest},
		"what the page does not need":  {http.MethodGet, "/v1/usage", nil, http.StatusNotFound},
		"a way out of what is allowed": {http.MethodGet, "/ui/..%2f..%2fapi", nil, http.StatusNotFound},
	} {
		if status, text := surf(t, browser, c.method, base+c.path, c.headers...); status != c.want {
			t.Errorf("%s: status %d, want %d: %s", name, status, c.want, text)
		}
	}
}

func TestTheLocalPageNeedsAnOperator(t *testing.T) {
	status, out, stderr := run("dashboard", "--browser=false", "--operator-namespace=nosuch", "--kubeconfig="+kubeconfig(t, cluster(t), "shop", "shop"))
	if status == exitDone || out != "" || !strings.Contains(stderr, "error: ") {
		t.Errorf("status %d, %s, %s", status, out, stderr)
	}
}
