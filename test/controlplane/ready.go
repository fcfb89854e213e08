package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// tailLines of a log go into the error of a component that did not start.
const tailLines = 12

// healthPath says when a component is ready to be used. kube-controller-manager has no /readyz.
func healthPath(component string) string {
	if component == ControllerManager {
		return "/healthz"
	}
	return "/readyz"
}

func (cp *ControlPlane) waitUntilReady(ctx context.Context, component string) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	client, err := cp.healthClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	url := cp.url(component) + healthPath(component)
	if component == Kwok {
		url = strings.Replace(url, "https:", "http:", 1) // it has no TLS by itself
	}
	start, last := time.Now(), error(nil)
	tell := every(2*time.Second, func() {
		fmt.Fprintf(cp.progress, "waiting for %s: %s\n", component, time.Since(start).Round(time.Second))
	})
	err = wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		if !cp.Running(component) {
			return false, fmt.Errorf("%s has ended: %w", component, cp.exitError(component))
		}
		tell()
		last = healthy(ctx, client, url)
		return last == nil, nil
	})
	switch {
	case err == nil:
		fmt.Fprintf(cp.progress, "%s is ready (%s)\n", component, time.Since(start).Round(100*time.Millisecond))
		return nil
	case ctx.Err() != nil && last != nil:
		err = fmt.Errorf("%w: %w", err, last)
	}
	return fmt.Errorf("wait until %s is ready: %w\nthe end of %s:\n%s",
		component, err, cp.LogFile(component), logTail(cp.LogFile(component)))
}

// every returns a function that makes the call when it is called and the period has passed since the last time.
func every(period time.Duration, call func()) func() {
	last := time.Now()
	return func() {
		if time.Since(last) >= period {
			last = time.Now()
			call()
		}
	}
}

func (cp *ControlPlane) healthClient() (*http.Client, error) {
	admin, err := tls.X509KeyPair(cp.pki.admin.cert, cp.pki.admin.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cp.pki.ca)
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs:      roots,
			Certificates: []tls.Certificate{admin},
		}},
	}, nil
}

func healthy(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s\n%s", url, response.Status, failedChecks(body))
	}
	return nil
}

// failedChecks are the lines of a health answer that say what is not ready.
func failedChecks(body []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	return bytes.Join(slices.DeleteFunc(lines, func(line []byte) bool { return bytes.HasPrefix(line, []byte("[+]")) }), []byte("\n"))
}

func (cp *ControlPlane) exitError(component string) error {
	_, child, _ := cp.process(component)
	if child == nil {
		return fmt.Errorf("another process had started it")
	}
	<-child.ended
	if child.err == nil {
		return fmt.Errorf("exit status 0")
	}
	return child.err
}

func logTail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
