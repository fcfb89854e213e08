package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/usage-operator/usage-operator/test/postgres"
)

const cluster = "00000000-0000-4000-8000-000000000001"

// run runs a command, and returns what it ends with, and what it said.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = (&program{stdout: &out, stderr: &err}).run(t.Context(), args)
	return status, out.String(), err.String()
}

// The help fits into a terminal, and does not show where the database is.
func TestHelp(t *testing.T) {
	t.Setenv(environment, "postgres://hub:secret@localhost/hub")
	for _, args := range [][]string{{}, {"--help"}, {"migrate", "--help"}, {"serve", "-h"}, {"send", "--help"}, {"enrol", "--help"}, {"verify", "--help"}} {
		status, stdout, stderr := run(t, args...)
		if status != exitDone || stderr != "" || stdout == "" || strings.Contains(stdout, "secret") {
			t.Errorf("%v: %d: %s%s", args, status, stdout, stderr)
		}
		for line := range strings.Lines(stdout) {
			if len(line) > 81 {
				t.Errorf("%v: %d columns: %s", args, len(line)-1, line)
			}
		}
	}
}

// What is wrong with a command is said, and it does nothing.
func TestMisuse(t *testing.T) {
	t.Setenv(environment, "")
	for _, args := range [][]string{
		{"sevre"}, {"migrate"}, {"migrate", "--database=host=/nowhere"}, {"migrate", "now", "--database=x"}, {"serve", "--database=dbname=x"},
		{"serve", "--database=dbname=x", "--plain-http", "--tls-key=x"}, {"serve", "--database=dbname=x", "--plain-http", "--at-once=0"},
		{"send"}, {"send", "--url=hub", "--token-file=x"}, {"send", "--url=https://hub"}, {"send", "--url=http://hub", "--token-file=x"}, {"send", "--database=x"},
		{"enrol", "--database=dbname=x"}, {"enrol", "eu-1", "--name=x", "--database=dbname=x"}, {"enrol", cluster, "--database=dbname=x"},
		{"verify", "--database=dbname=x"}, {"verify", cluster, "-o", "yaml", "--database=dbname=x"}, {"verify", cluster, "--what", "--database=dbname=x"},
	} {
		status, stdout, stderr := run(t, args...)
		if status != exitFailed || !strings.HasPrefix(stderr, "usage-hub") || stdout != "" {
			t.Errorf("%v: %d: %s%s", args, status, stdout, stderr)
		}
	}
}

// A hub from nothing: its schema, a cluster, its ledger.
func TestCommands(t *testing.T) {
	location := postgres.Start(t).Database(t, "hub")
	t.Setenv(environment, location)
	want := func(status int, said string, args ...string) string {
		t.Helper()
		got, stdout, stderr := run(t, args...)
		if got != status || !strings.Contains(stdout+stderr, said) {
			t.Fatalf("%v: %d: %s%s, want %d: %s", args, got, stdout, stderr, status, said)
		}
		return stdout
	}
	want(exitFailed, "run usage-hub migrate", "enrol", cluster, "--name", "eu-1")
	for range 2 {
		want(exitDone, "this version's", "migrate")
	}
	token := want(exitDone, "usage-hub-", "enrol", cluster, "--name", "eu-1")
	want(exitFailed, "enrolled already", "enrol", cluster, "--name", "eu-1-clone")
	if rotated := want(exitDone, "usage-hub-", "enrol", cluster, "--rotate"); rotated == token {
		t.Error("a token that is rotated is the same")
	}
	want(exitFailed, "NotEnrolled", "enrol", "00000000-0000-4000-8000-0000000000ff", "--rotate")
	want(exitDone, "All of it adds up.", "verify", cluster)
	want(exitFailed, "NotEnrolled", "verify", "00000000-0000-4000-8000-0000000000ff")
	connection, err := pgx.Connect(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close(context.Background())
	if _, err := connection.Exec(t.Context(), "UPDATE clusters SET sequence = 1, counted = 1"); err != nil {
		t.Fatal(err)
	}
	var report struct{ Difference struct{ Field string } }
	if err := json.Unmarshal([]byte(want(exitDifference, "counts rows", "verify", cluster, "-o", "json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Difference.Field != "sequence" {
		t.Errorf("the difference is %+v", report)
	}
	if _, err := connection.Exec(t.Context(), "INSERT INTO usage_hub_schema (version_id, is_applied) VALUES (99, true)"); err != nil {
		t.Fatal(err)
	}
	want(exitFailed, "run the newer hub", "verify", cluster)
}

// certificate writes a certificate for 127.0.0.1, and its key.
func certificate(t *testing.T) (certificateFile, keyFile string, trusted *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificateFile, keyFile = filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	for file, block := range map[string]*pem.Block{certificateFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: encoded}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trusted = x509.NewCertPool()
	trusted.AddCert(parsed)
	return certificateFile, keyFile, trusted
}

// It serves over TLS, by either version of HTTP, and ends when it is to.
func TestServe(t *testing.T) {
	t.Setenv(environment, postgres.Start(t).Database(t, "hub"))
	if status, _, stderr := run(t, "migrate"); status != exitDone {
		t.Fatal(stderr)
	}
	_, token, _ := run(t, "enrol", cluster, "--name", "eu-1")
	certificateFile, keyFile, trusted := certificate(t)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	api, ended := make(chan string, 1), make(chan int, 1)
	p := &program{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, ready: func(address, _ string) { api <- address }}
	go func() {
		ended <- p.run(ctx, []string{"serve", "--address=127.0.0.1:0", "--probe-address=127.0.0.1:0", "--tls-cert", certificateFile, "--tls-key", keyFile})
	}()
	var address string
	select {
	case address = <-api:
	case status := <-ended:
		t.Fatalf("it ended with %d: %s", status, p.stderr)
	}
	for _, second := range []bool{false, true} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: second}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/v1alpha1/clusters/"+cluster, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK || answer.ProtoAtLeast(2, 0) != second {
			t.Errorf("it answers %s by %s", answer.Status, answer.Proto)
		}
		client.CloseIdleConnections()
	}
	end()
	if status := <-ended; status != exitDone {
		t.Errorf("it ended with %d: %s", status, p.stderr)
	}
}
