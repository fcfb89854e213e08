package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/postgres"
)

// hubDatabase is the variable that says where the hub's database is.
const hubDatabase = "USAGE_HUB_DATABASE"

// fleetProps is what another run needs to know of what this one started beside the clusters.
type fleetProps struct {
	HubPID   int    `json:"hubPID,omitempty"`
	Database string `json:"database,omitempty"` // the folder of PostgreSQL
}

func (f *fleet) noted() (p fleetProps) {
	if text, err := os.ReadFile(f.path("state.json")); err == nil {
		_ = json.Unmarshal(text, &p) // what cannot be read names nothing
	}
	return p
}

func (f *fleet) note(p fleetProps) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(f.path("state.json"), append(text, '\n'), 0o600)
}

// variables are those by which the plugin asks the hub.
func (f *fleet) variables() []string {
	return []string{"USAGE_HUB=" + f.hub, "USAGE_HUB_TOKEN=" + f.token, "USAGE_HUB_CERTIFICATE_AUTHORITY=" + f.path("tls.crt")}
}

// openHub starts the database and the hub, and makes a token for one who may ask about everything.
func (f *fleet) openHub(ctx context.Context, fail context.CancelCauseFunc) (err error) {
	if f.database, err = postgres.Open(ctx); err != nil {
		return err
	}
	if err := f.note(fleetProps{Database: f.database.Dir()}); err != nil {
		return err
	}
	if f.location, err = f.database.Create(ctx, "hub"); err != nil {
		return err
	}
	if _, err := f.asHub(ctx, "migrate"); err != nil {
		return err
	}
	if err := f.admit(ctx); err != nil {
		return err
	}
	if err := f.serve(fail); err != nil {
		return err
	}
	f.say("  usage-hub migrate\n  usage-hub serve --tls-cert=tls.crt --tls-key=tls.key --fleet=fleet.yaml\n  (one reader, who sees all clusters)")
	return nil
}

// admit makes a token, and the fleet file with its reader, who sees all clusters.
func (f *fleet) admit(ctx context.Context) error {
	made, err := f.asHub(ctx, "token")
	if err != nil {
		return err
	}
	words := strings.Fields(made)
	digest := slices.IndexFunc(words, func(word string) bool { return len(word) == 64 })
	token := slices.IndexFunc(words, func(word string) bool { return strings.HasPrefix(word, "usage-") })
	if digest < 0 || token < 0 {
		return fmt.Errorf("usage-hub token has printed something else than a token and its SHA-256: %q", made)
	}
	f.token = words[token]
	readers, err := yaml.Marshal(map[string]any{"readers": []any{map[string]any{
		"name": "demo", "tokenSHA256": []string{words[digest]}, "sees": []any{map[string]any{"clusters": []string{"*"}}},
	}}})
	return errors.Join(err, os.WriteFile(f.path("token"), []byte(f.token+"\n"), 0o600), os.WriteFile(f.path("fleet.yaml"), readers, 0o600))
}

// serve starts the hub. fail is called when it ends by itself.
func (f *fleet) serve(fail context.CancelCauseFunc) error {
	certificate, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err == nil {
		err = errors.Join(os.WriteFile(f.path("tls.crt"), certificate, 0o600), os.WriteFile(f.path("tls.key"), key, 0o600))
	}
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	probes, err := freeAddress()
	if err != nil {
		return err
	}
	command := exec.Command(f.hubProgram(), "serve", "--tls-cert="+f.path("tls.crt"), "--tls-key="+f.path("tls.key"),
		"--address="+address, "--probe-address="+probes, "--fleet="+f.path("fleet.yaml"))
	command.Dir, command.Env = f.dir, append(os.Environ(), hubDatabase+"="+f.location)
	if err := launch(command, f.path("hub.log"), f.keep); err != nil {
		return fmt.Errorf("start the hub: %w", err)
	}
	go func() {
		err := command.Wait()
		fail(fmt.Errorf("the hub has ended by itself: %w\nthe end of %s:\n%s", orNothing(err), f.path("hub.log"), tail(f.path("hub.log"))))
	}()
	f.hub = "https://" + address
	return f.note(fleetProps{HubPID: command.Process.Pid, Database: f.database.Dir()})
}

// asHub runs a command of usage-hub, and returns what it prints.
func (f *fleet) asHub(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, f.hubProgram(), args...)
	command.Env = append(os.Environ(), hubDatabase+"="+f.location)
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("usage-hub %s: %w: %s%s", strings.Join(args, " "), err, text, said.String())
	}
	return string(text), nil
}

// enrol makes the hub know a cluster, and returns the flags with which its operator sends its journal.
func (f *fleet) enrol(ctx context.Context, c *cluster) ([]string, error) {
	system := &corev1.Namespace{}
	if err := c.cluster.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, system); err != nil {
		return nil, err
	}
	c.uid = string(system.UID)
	token, err := f.asHub(ctx, "enrol", c.uid, "--name="+c.name)
	if err != nil {
		return nil, err
	}
	f.say("  usage-hub enrol %s --name %s", c.uid, c.name)
	return []string{"--hub-url=" + f.hub, "--hub-ca-file=" + f.path("tls.crt"), "--hub-token-file=" + c.path("hub-token")},
		os.WriteFile(c.path("hub-token"), []byte(token), 0o600)
}
