package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/s3blob"    // s3://
	"gocloud.dev/gcerrors"
)

// What stores answer.
var (
	errExists   = errors.New("there is such an object already")
	errNotFound = errors.New("there is no such object")
)

// store keeps objects that are created once, and never changed.
type store interface {
	// create keeps an object, or answers errExists. After any other error it may be
	// there or not; if it is, it is there as a whole.
	create(ctx context.Context, name string, content []byte) error
	// read is an object, or errNotFound.
	read(ctx context.Context, name string) ([]byte, error)
	// list are the names that begin so, in order.
	list(ctx context.Context, prefix string) ([]string, error)
	close() error
}

// schemes is what an archive's URL may begin with.
const schemes = "file:///a/directory, s3://bucket?region=eu-central-1&prefix=a/prefix/, gs://bucket or azblob://container"

// clouds are the schemes of buckets.
var clouds = []string{"s3", "gs", "azblob"}

// inCloud tells whether the URL is of a cloud's bucket.
func inCloud(location *url.URL) bool {
	return slices.Contains(clouds, location.Scheme) && location.Host != ""
}

// openStore is the store at a URL.
func openStore(ctx context.Context, location string) (store, error) {
	parsed, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("%q: want %s: %w", location, schemes, err)
	}
	switch {
	case parsed.Scheme == "file" && parsed.Host == "" && filepath.IsAbs(parsed.Path):
		if query := parsed.Query(); len(query) > 1 || len(query) == 1 && !query.Has("prefix") {
			return nil, fmt.Errorf("%q: a directory has no parameter but prefix", location)
		}
		return &directory{path: filepath.Join(parsed.Path, filepath.FromSlash(parsed.Query().Get("prefix")))}, nil
	case inCloud(parsed) && parsed.Scheme == "gs":
		return openGoogle(ctx, parsed)
	case inCloud(parsed):
		bucket, err := blob.OpenBucket(ctx, location)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", parsed.Redacted(), err)
		}
		return &cloud{bucket}, nil
	}
	return nil, fmt.Errorf("%q: want %s", location, schemes)
}

// CheckURL says why there can be no archive at a URL.
func CheckURL(location string) error {
	parsed, err := url.Parse(location)
	if err != nil {
		return err
	}
	if inCloud(parsed) {
		return nil // what its parameters are is known once it is opened
	}
	_, err = openStore(context.Background(), location)
	return err
}

// cloud keeps objects in a cloud's bucket.
type cloud struct{ *blob.Bucket }

func (c *cloud) create(ctx context.Context, name string, content []byte) error {
	err := c.WriteAll(ctx, name, content, &blob.WriterOptions{IfNotExist: true, ContentType: "application/octet-stream"})
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return errExists
	}
	return err
}

func (c *cloud) read(ctx context.Context, name string) ([]byte, error) {
	content, err := c.ReadAll(ctx, name)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, errNotFound
	}
	return content, err
}

func (c *cloud) list(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	for iterator := c.List(&blob.ListOptions{Prefix: prefix}); ; {
		object, err := iterator.Next(ctx)
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		names = append(names, object.Key)
	}
}

func (c *cloud) close() error { return c.Close() }

// place creates an object, or makes sure that the one that is there is the same; and
// reads it back. other is what is there instead, nil if there is nothing else.
func place(ctx context.Context, s store, name string, content []byte) (other []byte, err error) {
	err = s.create(ctx, name, content)
	if err != nil && !errors.Is(err, errExists) {
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	there, err := s.read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read back %s: %w", name, err)
	}
	if !bytes.Equal(there, content) {
		return there, nil
	}
	return nil, nil
}

// probeName is an object that shows that the store creates an object only if there is none.
const probeName = "probe"

// probe makes sure that the store does not overwrite what is there.
func probe(ctx context.Context, s store) error {
	for try, content := range []string{"This archive is of usage-operator.\n", "This would be another.\n"} {
		switch err := s.create(ctx, probeName, []byte(content)); {
		case errors.Is(err, errExists):
			return nil
		case err != nil:
			return fmt.Errorf("write %s: %w", probeName, err)
		case try > 0:
			return &Problem{Fault: Unconditional, Object: probeName, Detail: "the store overwrote an object that was to be created only if there is none"}
		}
	}
	return nil
}
