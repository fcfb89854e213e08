package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/usage-operator/usage-operator/internal/hub/sender"
)

// A URL without TLS has to be meant.
func TestATokenIsNotSentInPlainByMistake(t *testing.T) {
	status, _, stderr := run(t, "send", "--url=http://hub.example.org", "--token-file=/nowhere", "--kubeconfig=/nowhere")
	if status != exitFailed || !strings.Contains(stderr, "--plain-http") {
		t.Errorf("%d: %s", status, stderr)
	}
	status, _, stderr = run(t, "send", "--plain-http", "--url=http://hub.example.org", "--token-file=/nowhere", "--kubeconfig=/nowhere")
	if status != exitFailed || strings.Contains(stderr, "--plain-http") || !strings.Contains(stderr, "no cluster") {
		t.Errorf("with --plain-http: %d: %s", status, stderr)
	}
}

// Where the hub sends a request on to, the token is not sent, and no answer is taken from there.
func TestRedirectionsAreNotFollowed(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte(`{"sequence":7}`))
	}))
	t.Cleanup(elsewhere.Close)
	at := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(at.Close)
	v := &sending{url: at.URL, tokenFile: filepath.Join(t.TempDir(), "token")}
	if err := os.WriteFile(v.tokenFile, []byte("usage-hub-x"), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := v.client(cluster)
	if err != nil {
		t.Fatal(err)
	}
	head, err := client.Head(t.Context())
	if refusal, refused := errors.AsType[*sender.Refusal](err); !refused || refusal.Reason != "OtherAnswer" || asked.Load() != 0 {
		t.Errorf("the head is %d, %v, and the other server was asked %d times", head, err, asked.Load())
	}
}
