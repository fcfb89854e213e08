package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	helm "helm.sh/helm/v3/pkg/registry"
	"sigs.k8s.io/yaml"
)

// packChart is the chart's package: as helm package makes it, with the version, and what Artifact Hub shows of a release.
// Helm's own package has the times at which it was made.
func (o Options) packChart(imageDigest v1.Hash) ([]byte, error) {
	loaded, err := loader.LoadDir(filepath.Join(o.Checkout, "charts", chartName))
	if err != nil {
		return nil, err
	}
	loaded.Metadata.Version, loaded.Metadata.AppVersion = o.chartVersion(), o.Version
	loaded.Metadata.Annotations["artifacthub.io/prerelease"] = strconv.FormatBool(o.prerelease())
	images, err := yaml.Marshal([]map[string]string{{"name": "usage-operator", "image": o.imageReference(imageDigest)}})
	if err != nil {
		return nil, err
	}
	loaded.Metadata.Annotations["artifacthub.io/images"] = string(images)
	if err := loaded.Validate(); err != nil {
		return nil, err
	}
	metadata, err := yaml.Marshal(loaded.Metadata)
	if err != nil {
		return nil, err
	}
	files := []entry{{chartName + "/Chart.yaml", 0o644, metadata}}
	slices.SortFunc(loaded.Raw, func(a, b *chart.File) int { return strings.Compare(a.Name, b.Name) })
	for _, file := range loaded.Raw {
		if file.Name != "Chart.yaml" {
			files = append(files, entry{chartName + "/" + file.Name, 0o644, file.Data})
		}
	}
	return archive(files)
}

// imageReference names the image by its tag, for people, and by its digest, which decides.
func (o Options) imageReference(digest v1.Hash) string {
	return o.imageRepository() + ":" + o.Version + "@" + digest.String()
}

func (o Options) chartFile() string { return chartName + "-" + o.chartVersion() + ".tgz" }

// MakeChart writes the chart's package, and returns the artifact that it is in a registry: Helm itself makes that.
func MakeChart(o Options, imageDigest v1.Hash) (v1.Image, error) {
	packed, err := o.packChart(imageDigest)
	if err != nil {
		return nil, fmt.Errorf("package the chart: %w", err)
	}
	if err := os.WriteFile(o.file(o.chartFile()), packed, 0o644); err != nil {
		return nil, err
	}
	host, stop, err := serveRegistry()
	if err != nil {
		return nil, err
	}
	defer stop()
	client, err := helmClient()
	if err != nil {
		return nil, err
	}
	at := host + "/" + chartName + ":" + o.chartVersion()
	if _, err := client.Push(packed, at, helm.PushOptCreationTime(o.Created.UTC().Format(time.RFC3339))); err != nil {
		return nil, fmt.Errorf("make an artifact of the chart: %w", err)
	}
	reference, err := name.ParseReference(at, name.Insecure)
	if err != nil {
		return nil, err
	}
	made, err := remote.Image(reference)
	if err != nil {
		return nil, err
	}
	return inMemory(made)
}

// helmClient is Helm's client of a registry on this machine. It knows no logins.
func helmClient() (*helm.Client, error) {
	return helm.NewClient(helm.ClientOptPlainHTTP(), helm.ClientOptWriter(io.Discard), helm.ClientOptCredentialsFile(os.DevNull))
}

// serveRegistry runs a registry on this machine's loopback until stop is called.
func serveRegistry() (host string, stop func(), err error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler:           registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))),
		ReadHeaderTimeout: time.Minute,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return listener.Addr().String(), func() {
		_ = server.Close() // whoever asks it has been answered
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			log.Print("the registry: ", err)
		}
	}, nil
}
