package sender_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/usage-operator/usage-operator/internal/hub/sender"
)

const aCluster = "00000000-0000-4000-8000-000000000001"

func written(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestURLsOfHubs(t *testing.T) {
	for url, want := range map[string]bool{
		"https://hub.example.org:8443": true, "https://hub.example.org/of/us": true, "https://10.0.0.1": true,
		"http://hub.example.org": false, "hub.example.org:8443": false, "": false, "https://": false, "ftp://hub.example.org": false,
		"https://user:secret@hub.example.org": false, "https://hub.example.org?a=b": false,
	} {
		if err := (&sender.Place{URL: url}).CheckURL(); (err == nil) != want {
			t.Errorf("%q: %v", url, err)
		}
	}
	if err := (&sender.Place{URL: "http://hub.example.org", Plain: true}).CheckURL(); err != nil {
		t.Error(err)
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
	p := &sender.Place{URL: at.URL, TokenFile: written(t, filepath.Join(t.TempDir(), "token"), "usage-hub-x")}
	head, err := p.Client(aCluster).Head(t.Context())
	if refusal, refused := errors.AsType[*sender.Refusal](err); !refused || refusal.Reason != "OtherAnswer" || asked.Load() != 0 {
		t.Errorf("the head is %d, %v, and the other server was asked %d times", head, err, asked.Load())
	}
}

// The token and the certificates are those that the files have when the hub is asked.
func TestTheFilesAreReadAgain(t *testing.T) {
	var token atomic.Value
	at := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token.Store(r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"sequence":7}`))
	}))
	t.Cleanup(at.Close)
	certificate := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	folder := t.TempDir()
	p := &sender.Place{URL: at.URL, CAFile: filepath.Join(folder, "ca.crt"), TokenFile: filepath.Join(folder, "token")}
	client := p.Client(aCluster)
	fails := func(what string) {
		t.Helper()
		if head, err := client.Head(t.Context()); err == nil || token.Load() != nil {
			t.Errorf("%s: the head is %d, and the token was sent: %v", what, head, token.Load())
		}
	}
	succeeds := func(what, with string) {
		t.Helper()
		if head, err := client.Head(t.Context()); err != nil || head != 7 || token.Load() != "Bearer "+with {
			t.Errorf("%s: the head is %d, %v, with %v", what, head, err, token.Load())
		}
	}
	fails("without a token")
	written(t, p.TokenFile, "one\n")
	fails("without the certificates")
	written(t, p.CAFile, "nothing")
	fails("with no certificate")
	written(t, p.CAFile, certificate(at.Certificate().Raw))
	succeeds("with the hub's", "one")
	written(t, p.TokenFile, "two\n")
	succeeds("with another token", "two")
	token = atomic.Value{}
	written(t, p.CAFile, certificate(otherCertificate(t)))
	fails("with another's certificates")
}

// otherCertificate is one that no server has.
func otherCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
