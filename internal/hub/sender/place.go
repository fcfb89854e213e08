package sender

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// answerPatience is how long an answer of the hub may take.
const answerPatience = time.Minute

// ErrPlain says that a token would be sent without TLS.
var ErrPlain = errors.New("the token would be sent without TLS")

// Place is where a hub is, and what is asked there with.
type Place struct {
	// URL is the hub's, such as https://hub.example.org:8443.
	URL string
	// CAFile has the certificates that signed the hub's; empty: the system's are trusted.
	// It and TokenFile are read each time: both may be rotated.
	CAFile, TokenFile string
	// Plain lets the URL be one of http.
	Plain bool
}

// CheckURL tells what is wrong with the URL: ErrPlain, or something else.
func (p *Place) CheckURL() error {
	at, err := url.Parse(p.URL)
	switch {
	case err != nil || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Scheme != "https" && at.Scheme != "http":
		return errors.New("want one such as https://hub.example.org:8443")
	case at.Scheme == "http" && !p.Plain:
		return ErrPlain
	}
	return nil
}

// Client asks the hub that is there of a cluster.
func (p *Place) Client(cluster string) *Client {
	token := func() (string, error) {
		text, err := os.ReadFile(p.TokenFile)
		return string(text), err
	}
	return &Client{URL: p.URL, Cluster: cluster, Token: token, HTTP: &http.Client{
		Transport: &trusting{file: p.CAFile}, Timeout: answerPatience,
		// The token is for the hub that the URL says, and an answer of another server is none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// trusting trusts the certificates that a file has now.
type trusting struct {
	file string

	mu   sync.Mutex
	text []byte
	with *http.Transport
}

// RoundTrip asks, by a connection to who has a certificate that is trusted now.
func (t *trusting) RoundTrip(request *http.Request) (*http.Response, error) {
	with, err := t.transport()
	if err != nil {
		return nil, err
	}
	return with.RoundTrip(request)
}

func (t *trusting) transport() (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var text []byte
	var trusted *x509.CertPool
	if t.file != "" {
		var err error
		if text, err = os.ReadFile(t.file); err != nil {
			return nil, err
		}
	}
	if t.with != nil && bytes.Equal(text, t.text) {
		return t.with, nil
	}
	if t.file != "" {
		if trusted = x509.NewCertPool(); !trusted.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate", t.file)
		}
	}
	if t.with != nil {
		t.with.CloseIdleConnections()
	}
	t.text, t.with = text, http.DefaultTransport.(*http.Transport).Clone()
	t.with.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted}
	return t.with, nil
}
