package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/storage/v1"
)

// google keeps objects in a bucket of Google Cloud Storage. It speaks the JSON API by itself:
// gocloud.dev's driver brings gRPC's service mesh along, with 20 MiB of memory that is never used.
type google struct {
	objects        *storage.ObjectsService
	bucket, prefix string
}

// openGoogle is the bucket of gs://bucket?prefix=a/prefix/. Its credentials are those that Google's
// libraries find: the service account's of the node or of Workload Identity, or of a file
// that GOOGLE_APPLICATION_CREDENTIALS names. With endpoint it is another server, and with
// anonymous=true one that asks for none.
func openGoogle(ctx context.Context, location *url.URL) (store, error) {
	g := &google{bucket: location.Host}
	options := []option.ClientOption{option.WithScopes(storage.DevstorageReadWriteScope)}
	for name, values := range location.Query() {
		switch value := values[0]; name {
		case "prefix":
			g.prefix = value
		case "endpoint":
			options = append(options, option.WithEndpoint(value+"/storage/v1/"))
		case "anonymous":
			if value == "true" {
				options = append(options, option.WithoutAuthentication())
			}
		default:
			return nil, fmt.Errorf("%s: unknown parameter %q: there are prefix, endpoint and anonymous", location.Redacted(), name)
		}
	}
	service, err := storage.NewService(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", location.Redacted(), err)
	}
	g.objects = service.Objects
	return g, nil
}

// statusOf is the HTTP status of an answer that is an error; 0: it is none.
func statusOf(err error) int {
	if answer, is := errors.AsType[*googleapi.Error](err); is {
		return answer.Code
	}
	return 0
}

func (g *google) create(ctx context.Context, name string, content []byte) error {
	object := &storage.Object{Name: g.prefix + name, ContentType: "application/octet-stream"}
	_, err := g.objects.Insert(g.bucket, object).IfGenerationMatch(0).Context(ctx).
		Media(bytes.NewReader(content), googleapi.ContentType(object.ContentType), googleapi.ChunkSize(0)).Do()
	if statusOf(err) == http.StatusPreconditionFailed {
		return errExists
	}
	return err
}

func (g *google) read(ctx context.Context, name string) ([]byte, error) {
	answer, err := g.objects.Get(g.bucket, g.prefix+name).Context(ctx).Download()
	if statusOf(err) == http.StatusNotFound {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(answer.Body)
	return content, errors.Join(err, answer.Body.Close())
}

func (g *google) list(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	err := g.objects.List(g.bucket).Prefix(g.prefix+prefix).Fields("nextPageToken", "items(name)").
		Pages(ctx, func(page *storage.Objects) error {
			for _, object := range page.Items {
				names = append(names, object.Name[len(g.prefix):])
			}
			return nil
		})
	slices.Sort(names)
	return names, err
}

func (g *google) close() error { return nil }
