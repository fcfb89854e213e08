// Package installcheck tells whether an installation of the operator is right: usage-operator check, which helm test runs.
// It reads, and writes nothing.
package installcheck

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// Check is what is asked for.
type Check struct {
	// Namespace is the operator's own.
	Namespace string
	// Clock tells how long ago something was.
	Clock clock.Clock

	builtIn            bool // the operator creates the built-in meters
	address, tokenFile string
	wait               time.Duration
}

const (
	// requestTimeout is how long one request may take.
	requestTimeout = 10 * time.Second
	// pause is between one try and the next.
	pause = time.Second
)

// AddFlags adds what says how it is checked.
func (c *Check) AddFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&c.builtIn, "install-meters", true, "The operator runs with --install-meters: a built-in meter that was never created is a fault.")
	flags.StringVar(&c.address, "usage-api", "", "The `address` of the usage API, where it is not that of the Service usage-api: https://127.0.0.1:8444. The certificate has to be the Service's all the same.")
	flags.StringVar(&c.tokenFile, "usage-api-token-file", "", "A `file` with the token for the usage API. Empty: the token that is for the API server.")
	flags.DurationVar(&c.wait, "wait", 0, "How long to wait until all is right. 0: look once.")
}

// Valid says what is wrong with the flags, if anything is.
func (c *Check) Valid() error {
	if at, err := url.Parse(c.address); c.address != "" && (err != nil || at.Scheme != "https" || at.Host == "") {
		return fmt.Errorf("--usage-api=%s: want an address such as https://127.0.0.1:8444", c.address)
	}
	if c.wait < 0 {
		return fmt.Errorf("--wait=%s: want 0, or more", c.wait)
	}
	return nil
}

// finding is what one of the checks found.
type finding struct {
	// name is of the check.
	name string
	// said is what it found, in words.
	said string
	// next is what to do; "": nothing is wrong.
	next string
}

// cluster is what is asked.
type cluster struct {
	*Check
	kinds      discovery.ServerResourcesInterface
	leases     coordinationclient.LeaseInterface
	configMaps coreclient.ConfigMapInterface
	objects    client.Reader
	token      func() (string, error)
}

// Run checks the cluster until all is right, or until it has waited for as long as it is to, writes what it found to
// stdout and what it waits for to stderr, and tells whether all is right.
func (c *Check) Run(ctx context.Context, config *rest.Config, stdout, stderr io.Writer) (right bool, err error) {
	at, err := c.connect(config)
	if err != nil {
		return false, err
	}
	until := c.Clock.Now().Add(c.wait)
	waiting := ""
	for {
		found := at.look(ctx)
		wrong := names(found)
		if wrong == "" || !c.Clock.Now().Before(until) || ctx.Err() != nil {
			_, err := io.WriteString(stdout, text(found))
			return wrong == "", err
		}
		if wrong != waiting {
			waiting = wrong
			fmt.Fprintf(stderr, "... waiting until these are right: %s\n", wrong)
		}
		select {
		case <-ctx.Done():
		case <-c.Clock.After(pause):
		}
	}
}

func (c *Check) connect(config *rest.Config) (*cluster, error) {
	config = rest.CopyConfig(config)
	config.Timeout = requestTimeout
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	at := &cluster{Check: c, token: c.tokenOf(config)}
	kinds, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	core, err := coreclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	coordination, err := coordinationclient.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	at.objects, err = client.New(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper(scheme)})
	at.kinds, at.configMaps, at.leases = kinds, core.ConfigMaps(c.Namespace), coordination.Leases(c.Namespace)
	return at, err
}

// look checks everything once.
func (at *cluster) look(ctx context.Context) []finding {
	checks := []func(context.Context) finding{at.served, at.leader, at.meters, at.usageAPI}
	found := make([]finding, len(checks))
	for i, check := range checks {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		found[i] = check(ctx)
		cancel()
	}
	return found
}

// names are of the checks that found something wrong.
func names(found []finding) string {
	var wrong []string
	for _, f := range found {
		if f.next != "" {
			wrong = append(wrong, f.name)
		}
	}
	return strings.Join(wrong, ", ")
}

const (
	// width is how wide a line may be.
	width = 80
	// indent is where the words begin.
	indent = 17
)

// text is a line for each finding, and what to do next.
func text(found []finding) string {
	var b strings.Builder
	for _, f := range found {
		result := "ok"
		if f.next != "" {
			result = "FAIL"
		}
		paragraph(&b, result, f.name, f.said)
		if f.next != "" {
			paragraph(&b, "", "next", f.next)
		}
	}
	if wrong := names(found); wrong != "" {
		b.WriteString("Not right: " + wrong + ".\n")
	}
	return b.String()
}

// paragraph wraps words; one that is longer than a line is broken.
func paragraph(b *strings.Builder, result, name, said string) {
	line := fmt.Sprintf("%-5s %-10s", result, name)
	used := 0 // of this line
	for word := range strings.FieldsSeq(said) {
		for _, part := range pieces(word) {
			if used > 0 && indent+used+1+len(part) > width {
				b.WriteString(line + "\n")
				line, used = strings.Repeat(" ", indent-1), 0
			}
			line += " " + string(part)
			used += len(part) + 1
		}
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// pieces of a word are as long as a line at most.
func pieces(word string) [][]rune {
	return slices.Collect(slices.Chunk([]rune(word), width-indent))
}

// pods is how to see why the operator does not do what it should.
func (c *Check) pods() string {
	selected := "-n " + c.Namespace + " -l app.kubernetes.io/name=usage-operator"
	return "kubectl get pods " + selected + "; kubectl logs --prefix " + selected
}

// service is the name that the usage API's certificate is for.
func (c *Check) service() string { return wire.Names(c.Namespace)[0] }
