package archive

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/test/s3server"
)

// bucketOn is the URL of a bucket on a real S3 server, whose objects are files in a folder.
func bucketOn(t *testing.T) (location, folder string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	root := t.TempDir()
	folder = filepath.Join(root, "ledger")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return "s3://ledger?region=us-east-1&use_path_style=true&prefix=one/&endpoint=" + s3server.Start(t, root), folder
}

// On a real S3 server, an archive is what it is in a directory: chapters are created
// once, read back, taken up by a second writer, and verified.
func TestAnArchiveOnS3(t *testing.T) {
	location, folder := bucketOn(t)
	h := someDays(t)
	options := Options{URL: location, Cluster: clusterA, Writes: true}
	first, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	caughtUp(t, first, h)
	caughtUp(t, second, h)
	if first.link != second.link {
		t.Error("two writers have different archives")
	}
	again, err := Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	size, err := again.Verify(t.Context(), func(*Manifest) {})
	if err != nil || size.Chapters < 3 {
		t.Errorf("%+v: %v", size, err)
	}
	if n, err := again.CatchUp(t.Context(), h.source(), h.end()); n != 0 || err != nil {
		t.Errorf("%d chapters were written again: %v", n, err)
	}

	_, other := errors.AsType[*Problem](openError(t, Options{URL: location, Cluster: "another", Writes: true}))
	if !other {
		t.Error("another cluster's bucket was taken")
	}
	_, last, _ := again.Days()
	if err := os.Remove(filepath.Join(folder, "one", last.manifest())); err != nil {
		t.Fatal(err)
	}
	if a, err := Open(t.Context(), options); err != nil || a.last != last-aDay {
		t.Errorf("a chapter without a manifest counts: %v", err)
	}
}

func openError(t *testing.T, o Options) error {
	t.Helper()
	a, err := Open(t.Context(), o)
	if err == nil {
		t.Fatal(errors.Join(errors.New("there was no error"), a.Close()))
	}
	return err
}

// What the server says of a bucket that cannot be used is told in its own words.
func TestABucketThatCannotBeUsed(t *testing.T) {
	location, _ := bucketOn(t)
	for name, c := range map[string]struct {
		location, secret, says string
	}{
		"no such bucket":    {strings.Replace(location, "//ledger?", "//other?", 1), "", "NoSuchBucket"},
		"wrong credentials": {location, "wrong", "SignatureDoesNotMatch"},
		"nobody answers":    {"s3://ledger?region=us-east-1&use_path_style=true&endpoint=http://127.0.0.1:1", "", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.secret != "" {
				t.Setenv("AWS_SECRET_ACCESS_KEY", c.secret)
			}
			err := openError(t, Options{URL: c.location, Cluster: clusterA, Writes: true})
			if IsProblem(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it does not say %s: %v", c.says, err)
			}
		})
	}
}

func TestWhatIsNoArchive(t *testing.T) {
	for _, location := range []string{
		"", "/var/lib/ledger", "file://relative/ledger", "file:///ledger?region=x", "gs://ledger", "azblob://ledger", "s3://", "%zz",
	} {
		if err := CheckURL(location); err == nil {
			t.Errorf("%q is taken", location)
		}
	}
	for _, location := range []string{"file:///var/lib/ledger", "file:///var/lib/ledger?prefix=a/", "s3://ledger?region=eu-central-1"} {
		if err := CheckURL(location); err != nil {
			t.Errorf("%q is not: %v", location, err)
		}
	}
}
