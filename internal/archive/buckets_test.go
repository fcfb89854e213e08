package archive

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/usage-operator/usage-operator/test/bucketserver"
)

var azure = flag.Bool("archive.azure", false, "test Azure Blob Storage, too: npm installs its server")

// bucketOn is the URL of a bucket on a real S3 server, whose objects are files in a folder.
func bucketOn(t *testing.T) (location, folder string) {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", bucketserver.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", bucketserver.SecretKey)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	root, folder := newBucket(t)
	return "s3://ledger?region=us-east-1&use_path_style=true&prefix=one/&endpoint=" + bucketserver.S3(t, root), folder
}

// newBucket is the folder of a bucket in a folder of buckets.
func newBucket(t *testing.T) (root, folder string) {
	t.Helper()
	root = t.TempDir()
	folder = filepath.Join(root, "ledger")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return root, folder
}

// On a real server of each cloud, an archive is what it is in a directory: chapters are created
// once, read back, taken up by a second writer, and verified.
func TestAnArchiveInABucket(t *testing.T) {
	t.Run("S3", func(t *testing.T) {
		location, folder := bucketOn(t)
		inBucket(t, location)
		withoutManifest(t, location, filepath.Join(folder, "one"))
	})
	t.Run("Google Cloud Storage", func(t *testing.T) {
		root, folder := newBucket(t)
		location := "gs://ledger?anonymous=true&prefix=one/&endpoint=" + bucketserver.GCS(t, root)
		inBucket(t, location)
		withoutManifest(t, location, filepath.Join(folder, "one"))
	})
	t.Run("Azure Blob Storage", func(t *testing.T) {
		if !*azure {
			t.Skip("its server is a program of Node.js: make test-azure runs this")
		}
		inBucket(t, containerOn(t))
	})
}

// containerOn is the URL of a container on a real server of Azure Blob Storage.
func containerOn(t *testing.T) string {
	t.Helper()
	address := bucketserver.Azure(t)
	t.Setenv("AZURE_STORAGE_ACCOUNT", bucketserver.AzureAccount)
	t.Setenv("AZURE_STORAGE_KEY", bucketserver.AzureKey)
	key, err := azblob.NewSharedKeyCredential(bucketserver.AzureAccount, bucketserver.AzureKey)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azblob.NewClientWithSharedKeyCredential(address+"/"+bucketserver.AzureAccount, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateContainer(t.Context(), "ledger", nil); err != nil {
		t.Fatal(err)
	}
	return "azblob://ledger?prefix=one/&protocol=http&localemu=true&domain=" + strings.TrimPrefix(address, "http://")
}

func inBucket(t *testing.T, location string) {
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
	if _, err := again.store.read(t.Context(), "chapters/none"); !errors.Is(err, errNotFound) {
		t.Errorf("what is not there: %v", err)
	}
	_, other := errors.AsType[*Problem](openError(t, Options{URL: location, Cluster: "another", Writes: true}))
	if !other {
		t.Error("another cluster's bucket was taken")
	}
}

// withoutManifest removes the last manifest of an archive in a folder: its chapter is none then.
func withoutManifest(t *testing.T, location, folder string) {
	t.Helper()
	a, err := Open(t.Context(), Options{URL: location})
	if err != nil {
		t.Fatal(err)
	}
	_, last, _ := a.Days()
	if err := os.Remove(filepath.Join(folder, last.manifest())); err != nil {
		t.Fatal(err)
	}
	if a, err := Open(t.Context(), Options{URL: location}); err != nil || a.last != last-aDay {
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

// An error of a bucket that cannot be used has the server's own words.
func TestABucketThatCannotBeUsed(t *testing.T) {
	location, _ := bucketOn(t)
	root, _ := newBucket(t)
	google := "gs://other?anonymous=true&endpoint=" + bucketserver.GCS(t, root)
	for name, c := range map[string]struct {
		location, secret, says string
	}{
		"no such bucket":                    {strings.Replace(location, "//ledger?", "//other?", 1), "", "NoSuchBucket"},
		"wrong credentials":                 {location, "wrong", "SignatureDoesNotMatch"},
		"no server":                         {"s3://ledger?region=us-east-1&use_path_style=true&endpoint=http://127.0.0.1:1", "", "connection refused"},
		"no such bucket at Google":          {google, "", "404"},
		"no server for Google":              {"gs://ledger?anonymous=true&endpoint=http://127.0.0.1:1", "", "connection refused"},
		"a parameter that Google's has not": {"gs://ledger?region=us-east-1", "", "there are prefix, endpoint and anonymous"},
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
		"", "/var/lib/ledger", "file://relative/ledger", "file:///ledger?region=x", "gs://", "azblob:///ledger", "s3://", "ftp://ledger", "%zz",
	} {
		if err := CheckURL(location); err == nil {
			t.Errorf("%q is taken", location)
		}
	}
	for _, location := range []string{"file:///var/lib/ledger", "file:///var/lib/ledger?prefix=a/", "s3://ledger?region=eu-central-1", "gs://ledger?prefix=a/", "azblob://ledger"} {
		if err := CheckURL(location); err != nil {
			t.Errorf("%q is not: %v", location, err)
		}
	}
}
